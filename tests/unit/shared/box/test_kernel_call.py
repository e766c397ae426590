"""One timed call, with real processes in the kernel's place: whatever they do, they are stopped after it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from shared.box.kernel_call import KernelProcess, RunsOnError, is_stopped, processor_time_s, read_exactly

NUMBER = b"12345678"
ANSWERS = "os.write(1, b'L'); os.write(1, os.read(0, 8)[::-1]); time.sleep(60)"
REPLIES_HALF = "os.write(1, b'L'); os.read(0, 8); os.write(1, b'four'); os.close(1); time.sleep(60)"
CLOSES = "os.close(0); os.write(1, b'L'); time.sleep(60)"
SLEEPS = "os.write(1, b'L'); time.sleep(60)"
MANY_THREADS = (
    "import threading; spin = lambda: [None for _ in iter(int, 1)]; "
    "[threading.Thread(target=spin, daemon=True).start() for _ in range(3)]; " + ANSWERS
)
REPLIES_EARLY = """
os.write(1, b'L')
os.write(1, os.read(0, 8)[::-1])
end = time.process_time() + {work_s}
while time.process_time() < end: pass
time.sleep(60)
"""


@contextmanager
def _process(body: str) -> Iterator[tuple[int, KernelProcess]]:
    argv = [sys.executable, "-c", f"import os, time; {body.lstrip()}"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            orders, replies = process.stdin.fileno(), process.stdout.fileno()
            assert read_exactly(replies, 1, 10) == b"L"
            kernel = KernelProcess(process.pid, orders, replies, process.send_signal)
            kernel.stop()
            yield process.pid, kernel
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        (ANSWERS, NUMBER[::-1]),
        (REPLIES_HALF, b"four"),
        (CLOSES, b""),
        (SLEEPS, None),
        (MANY_THREADS, NUMBER[::-1]),
    ],
    ids=["answers", "replies half and closes", "closes its pipe", "replies nothing", "many threads"],
)
def test_a_process_is_stopped_after_its_call_whatever_it_replied(body: str, reply: bytes | None) -> None:
    with _process(body) as (pid, kernel):
        _, got = kernel.call(NUMBER, timeout_s=0.5)

        assert got == reply
        assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
        assert is_stopped(pid)
        assert kernel.kept_still()


def test_a_process_that_was_woken_has_not_kept_still_although_it_is_stopped_again() -> None:
    with _process(MANY_THREADS) as (pid, kernel):
        used_s = processor_time_s(pid)
        os.kill(pid, signal.SIGCONT)
        assert not kernel.kept_still()
        while processor_time_s(pid) < used_s + 0.01:
            time.sleep(0.001)
        os.kill(pid, signal.SIGSTOP)
        while not is_stopped(pid):
            time.sleep(0.001)

        assert not kernel.kept_still()


def test_work_that_is_done_after_the_reply_counts_as_time_of_the_call() -> None:
    """The stop is held up here for as long as the work lasts, as a long system call could."""
    work_s = 0.3
    with _process(REPLIES_EARLY.format(work_s=work_s)) as (pid, kernel):
        start_s = processor_time_s(pid)
        stop = kernel.stop

        def late_stop() -> None:
            while processor_time_s(pid) < start_s + work_s:
                time.sleep(0.001)
            stop()

        kernel.stop = late_stop  # type: ignore[method-assign]
        took_s, _ = kernel.call(NUMBER, timeout_s=10)

        assert took_s >= work_s


def test_a_process_that_died_has_not_kept_still_for_it_may_have_run_before() -> None:
    with _process(SLEEPS) as (pid, kernel):
        os.kill(pid, signal.SIGKILL)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

        assert not kernel.kept_still()


def test_a_process_that_wakes_itself_all_the_time_can_not_be_stopped_or_has_not_kept_still() -> None:
    """A process that another one wakes without end stands for one with a timer of its own. On a busy machine
    it may stand still for the moment in which the call ends; then the check after the round finds it."""
    with _process(MANY_THREADS) as (pid, kernel):
        used_s = processor_time_s(pid)
        waker = subprocess.Popen([sys.executable, "-c", f"import os\nwhile True: os.kill({pid}, 18)"])
        try:
            while processor_time_s(pid) == used_s:  # until the waker has begun
                time.sleep(0.001)
            try:
                kernel.call(NUMBER, timeout_s=10)
            except RunsOnError:
                return
            while kernel.kept_still():  # ends by the test's own time limit where nothing is found
                time.sleep(0.001)
        finally:
            waker.kill()
            waker.wait()

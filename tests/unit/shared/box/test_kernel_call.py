"""One timed call, with real processes in the kernel's place: whatever they do, they are stopped after it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import pytest

from shared.box.kernel_call import read_exactly, timed_call

NUMBER = b"12345678"
ANSWERS = "os.write(1, b'L'); os.write(1, os.read(0, 8)[::-1]); time.sleep(60)"
SAYS_LITTLE = "os.write(1, b'L'); os.read(0, 8); os.write(1, b'four'); os.close(1); time.sleep(60)"
CLOSES = "os.close(0); os.write(1, b'L'); time.sleep(60)"
SLEEPS = "os.write(1, b'L'); time.sleep(60)"


@contextmanager
def _process(body: str) -> Iterator[subprocess.Popen[bytes]]:
    program = f"import os, time; {body}"
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        try:
            assert process.stdout is not None
            assert read_exactly(process.stdout.fileno(), 1, 10) == b"L"
            yield process
        finally:
            process.kill()


def _call(process: subprocess.Popen[bytes], timeout_s: float) -> tuple[float, bytes | None]:
    assert process.stdin is not None
    assert process.stdout is not None
    orders, replies = process.stdin.fileno(), process.stdout.fileno()
    return timed_call(orders, replies, lambda number: os.kill(process.pid, number), NUMBER, timeout_s)


@pytest.mark.parametrize(
    ("body", "reply"),
    [(ANSWERS, NUMBER[::-1]), (SAYS_LITTLE, b"four"), (CLOSES, b""), (SLEEPS, None)],
    ids=["answers", "says little and closes", "closes its pipe", "says nothing"],
)
def test_a_process_is_stopped_after_its_call_whatever_it_said(body: str, reply: bytes | None) -> None:
    with _process(body) as process:
        took_s, said = _call(process, timeout_s=0.5)

        assert said == reply
        assert (took_s > 0) == (said != b"")
        deadline = time.monotonic() + 2
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline

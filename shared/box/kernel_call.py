"""A kernel's process (sandbox_service/toolchains/c/kernel_driver.c), for the process that takes the time:
the trusted parent on this machine, or the first process of a pod, where this file is loaded by its path and
so imports the standard library only.

The process is stopped except while it is called. A signal alone proves no stop, so the parent checks the
state of every thread and the processor time that the process has used since.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable

# The first bytes that the process writes. Before SHUT_IN_DONE no code of the candidate has run.
SHUT_IN_DONE, LOADED = b"H", b"L"
START_TIMEOUT_S = 30.0  # until SHUT_IN_DONE
NUMBER_BYTES = 8  # of what a call is asked with, and answered with
STOP_TIMEOUT_S = 5.0  # for all threads to be seen stopped; one may still be in a long system call
SLACK_S = 1e-4  # of processor time: what the kernel may book for a thread after it was seen stopped
LOOK_AGAIN_S = 5e-5
CLOCK_OF_PROCESS = 2  # CPUCLOCK_SCHED of the kernel's posix-timers.h: nanoseconds, all threads together
Signal = Callable[[signal.Signals], None]  # sends one to the process; one that is dead is no error


def read_exactly(handle: int, size: int, timeout_s: float) -> bytes | None:
    """`size` bytes; fewer if the pipe was closed; None after `timeout_s`."""
    data, deadline = b"", time.monotonic() + timeout_s
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    while len(data) < size:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1e3):
            return None
        more = os.read(handle, size - len(data))
        if not more:
            break
        data += more
    return data


def write_whole(memory: int, data: bytes) -> None:
    """From the start of a kernel's memory, a file that is never mapped here: its holder may cut it."""
    view, done = memoryview(data), 0
    while done < len(view):
        done += os.pwrite(memory, view[done:], done)


def read_there(memory: int, start: int, size: int) -> bytes:
    """`size` bytes from `start`, or fewer where its holder cut it."""
    data, done = bytearray(size), 0
    view = memoryview(data)
    while done < size and (got := os.preadv(memory, [view[done:]], start + done)):
        done += got
    return bytes(view[:done])


class RunsOnError(Exception):
    """A kernel's process could not be stopped."""


class KernelProcess:
    """A kernel's process by its pid, as this process numbers it, and its pipes."""

    def __init__(self, pid: int, orders: int, replies: int, send: Signal) -> None:
        self._pid, self._orders, self._replies, self._send = pid, orders, replies, send
        self._used_s = 0.0  # of processor time, when it was last seen stopped

    def stop(self) -> None:
        """Stop it, until all its threads are seen stopped and use no processor time. Raises RunsOnError."""
        self._send(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while True:
            self._used_s = processor_time_s(self._pid)
            if is_stopped(self._pid) and processor_time_s(self._pid) == self._used_s:
                return
            if time.monotonic() > deadline:
                raise RunsOnError
            time.sleep(LOOK_AGAIN_S)

    def kept_still(self) -> bool:
        """Whether it is still stopped, alive, and has used no processor time since it was."""
        more_s = processor_time_s(self._pid) - self._used_s
        return is_stopped(self._pid) and 0 <= more_s <= SLACK_S

    def call(self, number: bytes, timeout_s: float) -> tuple[float, bytes | None]:
        """Continue the process, send it `number`, wait for its reply, and stop it again.

        Returns seconds, and the reply as read_exactly gives it; raises RunsOnError. The clock runs until the
        reply; processor time that any thread uses from then until all are stopped comes on top, so a reply
        that is sent before the work is done gains nothing.
        """
        started = time.perf_counter()
        self._send(signal.SIGCONT)
        try:
            os.write(self._orders, number)
            reply = read_exactly(self._replies, NUMBER_BYTES, timeout_s)
        except BrokenPipeError:  # it ended, or closed its end and still runs
            reply = b""
        # Before the clock: what is used in between counts twice rather than not at all.
        used_s = processor_time_s(self._pid)
        elapsed_s = time.perf_counter() - started
        self.stop()
        return elapsed_s + max(0.0, self._used_s - used_s), reply


def processor_time_s(pid: int) -> float:
    """What all threads of a process have used so far; 0 for one that is gone."""
    try:
        return time.clock_gettime((~pid << 3) | CLOCK_OF_PROCESS)
    except OSError:
        return 0.0


def is_stopped(pid: int) -> bool:
    """Whether no thread of a process can run: each is stopped or has ended, or the process is gone."""
    folder = f"/proc/{pid}/task"
    try:
        threads = set(os.listdir(folder))
        return all(_cannot_run(f"{folder}/{name}/stat") for name in threads) and threads == set(
            os.listdir(folder)  # none was started while we looked
        )
    except FileNotFoundError:
        return True


def _cannot_run(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return text[text.rindex(b")") + 2] in b"TZX"  # its name, which it may choose, stands in parentheses

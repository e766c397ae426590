"""One timed call of a kernel's process (sandbox_service/toolchains/c/kernel_driver.c), for the process that
holds the clock: the trusted parent on this machine, or the first process of a pod, where this file is loaded
by its path and so imports the standard library only.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable

SHUT_IN_DONE, LOADED = b"H", b"L"  # what the process says first; before the one, nothing of the candidate ran
START_TIMEOUT_S = 30.0  # until the first of them
NUMBER_BYTES = 8  # of what a call is asked with, and of the digest of the outputs that it is answered with
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


def timed_call(
    orders: int, replies: int, send: Signal, number: bytes, timeout_s: float
) -> tuple[float, bytes | None]:
    """Wake the process, hand it `number`, wait for the digest that it keys, and stop the process again.

    Returns the wall time in seconds, and the reply as read_exactly gives it.
    """
    started = time.perf_counter()
    send(signal.SIGCONT)
    try:
        os.write(orders, number)
        reply = read_exactly(replies, NUMBER_BYTES, timeout_s)
        return time.perf_counter() - started, reply
    except BrokenPipeError:  # it ended, or closed its end and lives on
        return 0.0, b""
    finally:
        send(signal.SIGSTOP)

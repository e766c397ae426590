"""One candidate, loaded in a boxed process of its own and stopped except while it is timed.

It is stopped (SIGSTOP, by process descriptor) so that it can neither look at inputs before its clock runs,
nor go on computing after it said that it had finished, nor spin on a core while another program is timed.
"""

from __future__ import annotations

import os
import secrets
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from sandbox_service.arena import Arena
from shared.box import Bind, Box, BoxedProcess, Limits
from shared.errors import BoxError, BoxNotWholeError
from shared.records import Outcome

START_TIMEOUT_S = 30.0
OVER_MEMORY, CANNOT_LOAD = 97, 99  # exit codes of kernel_driver.c
TOO_EARLY = "it wrote on the driver's pipe, or changed its outputs after it said that it had finished"
ELSEWHERE = "a kernel must run on the machine that times it, and here a box is a pod somewhere else"
SHUT_IN_DONE, LOADED = b"H", b"L"  # before the first no line of the candidate has run


class KernelFailedError(Exception):
    """What the candidate did wrong: data on its way to an Evaluation, never an error of ours."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(outcome, detail)
        self.outcome: Outcome = outcome
        self.detail = detail


class BoxedKernel:
    """start, load (once), run (as often as wanted), exit. run raises KernelFailedError, and so does load."""

    def __init__(
        self, box: Box, driver: Path, library: Path, arena: Arena, *, threads: int, memory_mb: int, cpu_s: int
    ) -> None:
        arena_mb = -(-arena.size_bytes >> 20)
        limits = Limits(
            cpu_s=cpu_s,
            memory_mb=memory_mb + arena_mb,
            processes=threads + 4,
            file_mb=max(1, arena_mb),
        )
        binds = [
            Bind(driver, "/kernel/driver"),
            Bind(library, "/kernel/library.so"),
            Bind(arena.path, "/kernel/arena", writable=True),
        ]
        counts = [len(arena.input_offsets), *arena.input_offsets]
        counts += [len(arena.output_offsets), *arena.output_offsets]
        words = ["/kernel/driver", "/kernel/library.so", "/kernel/arena", threads, arena.size_bytes, *counts]
        self.arena = arena
        self._memory_mb = memory_mb
        argv = [str(word) for word in words]
        # Without the interpreter's environment: numpy's BLAS lies there, and a kernel could call it.
        self._process: BoxedProcess = box.start(argv, binds=binds, limits=limits, python=False)
        self._pid_handle: int | None = None

    def load(self, timeout_s: float) -> None:
        """Wait until the candidate is loaded, and stop it. Its constructors run now, before any input."""
        if self._read(1, START_TIMEOUT_S) != SHUT_IN_DONE:
            self._process.wait(1.0)  # raises BoxError if bubblewrap never got as far as the driver
            raise BoxError(f"the kernel driver did not start: {self._process.stderr_tail().strip()[-300:]}")
        if self._process.pid is None:
            raise BoxNotWholeError(ELSEWHERE, "time kernels where boxes are made by bubblewrap")
        self._pid_handle = os.pidfd_open(_innermost(self._process.pid))
        said = self._read(1, timeout_s)
        self._signal(signal.SIGSTOP)
        if said is None:
            raise KernelFailedError("timeout", f"not loaded after {timeout_s:.1f} s")
        if said != LOADED:
            raise self._death()

    def run(self, timeout_s: float) -> float:
        """One call on what is in the arena; returns its wall time in seconds. Then the program is stopped."""
        number = secrets.token_bytes(8)  # the reply is a digest of the outputs that this number is the key of
        started = time.perf_counter()
        self._signal(signal.SIGCONT)
        try:
            os.write(self._process.stdin.fileno(), number)
        except BrokenPipeError:
            raise self._death() from None
        reply = self._read(len(number), timeout_s)
        elapsed_s = time.perf_counter() - started
        self._signal(signal.SIGSTOP)
        if reply is None:
            raise KernelFailedError("timeout", f"no result after {timeout_s:.1f} s")
        if len(reply) < len(number):
            raise self._death()
        if int.from_bytes(reply, sys.byteorder) != self.arena.digest(int.from_bytes(number, sys.byteorder)):
            raise KernelFailedError("crashed", TOO_EARLY)
        return elapsed_s

    def _read(self, size: int, timeout_s: float) -> bytes | None:
        """`size` bytes; fewer if the pipe was closed; None after `timeout_s`."""
        handle, data = self._process.stdout.fileno(), b""
        deadline = time.monotonic() + timeout_s
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

    def _signal(self, number: signal.Signals) -> None:
        assert self._pid_handle is not None
        with suppress(ProcessLookupError):  # it is dead, which the pipe tells
            signal.pidfd_send_signal(self._pid_handle, number)

    def _death(self) -> KernelFailedError:
        code = self._process.wait(2.0)
        if code is None:
            return KernelFailedError("crashed", "it closed the driver's pipes")
        if code == OVER_MEMORY:
            return KernelFailedError("over_limit", f"out of memory: it may use {self._memory_mb} MB")
        if code == CANNOT_LOAD:
            return KernelFailedError("crashed", "it could not be loaded")
        return _described(code)

    def __enter__(self) -> BoxedKernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.__exit__(kind, error, trace)
        if self._pid_handle is not None:
            os.close(self._pid_handle)


def _described(code: int) -> KernelFailedError:
    """An exit code in words. A signal s is 128 + s."""
    if code == 128 + signal.SIGSYS:
        return KernelFailedError("over_limit", "it tried to start a process, or another forbidden call")
    if code == 128 + signal.SIGXCPU:
        return KernelFailedError("timeout", "out of processor time")
    if code == 128 + signal.SIGKILL:
        return KernelFailedError("over_limit", "killed by the system: out of memory or processor time")
    if code > 128:
        return KernelFailedError("crashed", signal.strsignal(code - 128) or f"signal {code - 128}")
    return KernelFailedError("crashed", f"it ended (exit code {code}) before the kernel returned")


def _innermost(pid: int) -> int:
    """The program at the end of the chain bwrap | bwrap's init | program, each the only child of the last."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return _innermost(int(children[0])) if children else pid

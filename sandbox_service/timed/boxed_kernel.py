"""One candidate, loaded in a boxed process of its own and stopped except while it is timed.

It is stopped (SIGSTOP, by process descriptor) so that it can neither look at inputs before its clock runs,
nor continue computing after its reply, nor spin on a core while another program is timed.
"""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType

from sandbox_service.failure import CandidateFailedError
from sandbox_service.timed.arena import Arena
from sandbox_service.timed.kernel import CLOSED, RAN_ON, WROTE, Kernel, Quota, death, late
from sandbox_service.verify.layout import Arrays
from shared.box.box import Bind, Box, BoxedProcess, Limits
from shared.box.kernel_call import (
    LOADED,
    NUMBER_BYTES,
    SHUT_IN_DONE,
    START_TIMEOUT_S,
    KernelProcess,
    RunsOnError,
    read_exactly,
)
from shared.errors import BoxError


class BoxedKernel(Kernel):
    """Context manager; `arena` is its own, and goes with it."""

    def __init__(self, box: Box, driver: Path, library: Path, arena: Arena, quota: Quota) -> None:
        arena_mb = -(-arena.size_bytes >> 20)
        limits = Limits(
            cpu_s=quota.cpu_s,
            memory_mb=quota.memory_mb + arena_mb,
            processes=quota.threads + 4,
            file_mb=max(1, arena_mb),
        )
        binds = [
            Bind(driver, "/kernel/driver"),
            Bind(library, "/kernel/library.so"),
            Bind(arena.path, "/kernel/arena", writable=True),
        ]
        words = ["/kernel/driver", "/kernel/library.so", "/kernel/arena", quota.threads, *arena.words()]
        self._arena, self._memory_mb = arena, quota.memory_mb
        self._pid_handle: int | None = None
        self._kernel: KernelProcess | None = None  # once it is loaded
        self._left = b""  # in the place of the outputs, by the last run
        with ExitStack() as stack:
            stack.enter_context(arena)
            # Without the interpreter's environment: numpy's BLAS lies there, and a kernel could call it.
            argv = [str(word) for word in words]
            self._process: BoxedProcess = box.start(argv, binds=binds, limits=limits, python=False)
            stack.push(self._process.__exit__)
            self._held = stack.pop_all()

    def load(self, timeout_s: float) -> None:
        """Wait until the candidate is loaded, and stop it. Its constructors run now, before any input."""
        if self._read(1, START_TIMEOUT_S) != SHUT_IN_DONE:
            self._process.wait(1.0)  # raises BoxError if bubblewrap never got as far as the driver
            raise BoxError(f"the kernel driver did not start: {self._process.stderr_tail().strip()[-300:]}")
        self._arena.unname()
        assert self._process.pid is not None
        pid = _innermost(self._process.pid)
        self._pid_handle = os.pidfd_open(pid)
        pipes = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._kernel = KernelProcess(pid, *pipes, self._signal)
        with self._killed_if_it_fails():
            reply = self._read(1, timeout_s)
            self._kernel.stop()
            if reply is None:
                raise late("not loaded", timeout_s)
            if reply != LOADED:
                raise self._death()

    def fill(self, inputs: Arrays) -> None:
        self._arena.fill(inputs)

    def run(self, timeout_s: float) -> float:
        number = secrets.token_bytes(NUMBER_BYTES)
        assert self._kernel is not None
        with self._killed_if_it_fails():
            elapsed_s, reply = self._kernel.call(number, timeout_s)
            if reply is None:
                raise late("no result", timeout_s)
            if len(reply) < NUMBER_BYTES:
                raise self._death()
            if reply != number:
                raise CandidateFailedError("crashed", WROTE)
        self._left = self._arena.outputs_as_they_are()
        return elapsed_s

    def outputs(self) -> Arrays:
        return self._arena.unpacked(self._left)

    def kept_still(self) -> bool:
        still = self._kernel is None or self._kernel.kept_still()
        if not still:
            self._signal(signal.SIGKILL)
        return still

    @contextmanager
    def _killed_if_it_fails(self) -> Iterator[None]:
        try:
            yield
        except CandidateFailedError:
            self._signal(signal.SIGKILL)
            raise
        except RunsOnError:
            self._signal(signal.SIGKILL)
            raise CandidateFailedError("over_limit", RAN_ON) from None

    def _read(self, size: int, timeout_s: float) -> bytes | None:
        return read_exactly(self._process.stdout.fileno(), size, timeout_s)

    def _signal(self, number: signal.Signals) -> None:
        assert self._pid_handle is not None
        with suppress(ProcessLookupError):  # it has ended, which the pipe shows
            signal.pidfd_send_signal(self._pid_handle, number)

    def _death(self) -> CandidateFailedError:
        code = self._process.wait(2.0)
        return CandidateFailedError("crashed", CLOSED) if code is None else death(code, self._memory_mb)

    def __enter__(self) -> BoxedKernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)
        if self._pid_handle is not None:
            os.close(self._pid_handle)


def _innermost(pid: int) -> int:
    """The program at the end of the chain bwrap | bwrap's init | program, each the only child of the last."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return _innermost(int(children[0])) if children else pid

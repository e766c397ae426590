"""What a boxed program is to whoever runs it, wherever the box may be: a process with pipes, and a result.
Starting one is the boxes' work (boxed_process.py, pod_process.py).
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Literal, Protocol

BoxOutcome = Literal["ok", "crashed", "timeout", "over_limit"]
STDERR_TAIL_BYTES = 4096


@dataclass(frozen=True)
class BoxResult:
    """How a boxed program ended. `exit_code` is None where we ended it; a signal s is 128 + s."""

    exit_code: int | None
    stdout: bytes
    stderr: bytes
    wall_s: float
    outcome: BoxOutcome


class BoxedProcess(Protocol):
    """A running boxed program. `stdin` and `stdout` are unbuffered binary pipes; deadlines are the caller's.

    Use it as a context manager, or call close(): that ends everything that it started, too.
    """

    stdin: IO[bytes]
    stdout: IO[bytes]
    pid: int | None  # None: it runs on another machine

    def alive(self) -> bool: ...

    def wait(self, timeout_s: float | None = None) -> int | None:
        """The program's exit code, None if it runs on. Raises BoxError if the program was never reached."""
        ...

    def kill(self) -> None:
        """End the program and all that it started, at once; may be called again."""
        ...

    def close(self) -> None:
        """kill(), and forget stderr."""
        ...

    def stderr_tail(self) -> str:
        """The last 4 kB of what the program, or what keeps it in its box, wrote to stderr."""
        ...

    def __enter__(self) -> BoxedProcess: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def outcome_of(code: int) -> BoxOutcome:
    """What an exit code says: a limit of the kernel's ends a program by a signal of its own."""
    if code == 128 + signal.SIGXCPU:
        return "timeout"
    if code == 128 + signal.SIGXFSZ:
        return "over_limit"
    return "ok" if code == 0 else "crashed"

"""The contract of the box, in which programs written by a model run: its inputs (Bind, Limits), its results
(BoxResult, BoxedProcess), and what every box has in common. No network, nothing of the host but a read-only
toolchain and what is bound, hard limits, and nothing left behind.

Two implementations: bubblewrap/ on a machine, pods/ on a cluster. open.py chooses one and tests it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal, Protocol

SHARED = Path(__file__).resolve().parents[1]  # every box sees this folder, at its own path
FIRST_UID = 200_000  # above what distributions give to people and services
OVERHEAD_MB = 32  # bubblewrap, prlimit and the kernel's own pages for a box
STDERR_TAIL_BYTES = 4096
BASE_ENV: Mapping[str, str] = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
}
NO_ENV: Mapping[str, str] = {}
BoxOutcome = Literal["ok", "crashed", "timeout", "over_limit"]


@dataclass(frozen=True)
class Bind:
    """A file or folder of the host that a box sees at `target`. Give a writable one to one box at a time."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Limits:
    """What a boxed program may use. CPU counts per process, processes per box; memory counts per process
    and, where the machine has a writable control group, for the box as a whole with its scratch files.
    """

    wall_s: float = 10.0
    cpu_s: int = 10
    memory_mb: int = 1024
    processes: int = 64  # processes and threads
    file_mb: int = 64  # of one file, and of /tmp and /dev/shm each
    output_bytes: int = 1_000_000  # stdout and stderr together

    @property
    def box_memory_bytes(self) -> int:
        return (self.memory_mb + 2 * self.file_mb + OVERHEAD_MB) << 20


@dataclass(frozen=True)
class Layer:
    """One layer of isolation: whether it held when attacked, and what to do where it did not."""

    name: str
    ok: bool
    detail: str = ""
    hint: str = ""


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
        """The program's exit code, None if it still runs. Raises BoxError if the program was never
        started."""
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


class Box(Protocol):
    """Runs programs. What the program does wrong is a BoxResult; what the box does wrong is a BoxError.

    Seen inside, read-only, at their own paths: /usr, the interpreter, its environment, shared/. Environment:
    PATH, HOME=/tmp, LANG, PYTHONHASHSEED=0, and `env`. Writable: /tmp, /dev/shm and the writable binds.
    `python=False` leaves the interpreter, its environment and shared/ out, with the libraries in them.
    """

    def run(
        self,
        argv: Sequence[str],
        *,
        binds: Sequence[Bind] = (),
        limits: Limits,
        stdin: bytes = b"",
        env: Mapping[str, str] = NO_ENV,
        cwd: str = "/tmp",
        python: bool = True,
    ) -> BoxResult:
        """Run to the end, or to a limit. A program that is not found inside ends with exit code 127."""
        ...

    def start(
        self,
        argv: Sequence[str],
        *,
        binds: Sequence[Bind] = (),
        limits: Limits,
        env: Mapping[str, str] = NO_ENV,
        cwd: str = "/tmp",
        python: bool = True,
    ) -> BoxedProcess:
        """Start and return the pipes. The wall clock and the output cap are then the caller's."""
        ...


def hiding_binds(files: Sequence[str]) -> list[Bind]:
    """An unreadable device over each of these files of installed packages, wherever an import finds it."""
    found = [
        Path(place, name) for name in files for place in sys.path if place and Path(place, name).is_file()
    ]
    return [Bind(Path("/dev/null"), str(path)) for path in dict.fromkeys(found)]


def outcome_of(code: int) -> BoxOutcome:
    """The outcome that an exit code stands for: each limit of the kernel ends a program by its own signal."""
    if code == 128 + signal.SIGXCPU:
        return "timeout"
    if code == 128 + signal.SIGXFSZ:
        return "over_limit"
    return "ok" if code == 0 else "crashed"

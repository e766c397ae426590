"""One lock for the whole machine: `quiet` (exclusive) around a timed block, `busy` (shared) around whatever
would disturb it: model batches, training steps, compiling. Advisory file locks; the kernel drops a dead
holder's. A turnstile keeps a stream of busy holders from starving the one that wants quiet.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_FOLDER = Path(tempfile.gettempdir()) / "ratchet-machine"


@contextmanager
def busy(folder: Path = LOCK_FOLDER) -> Iterator[None]:
    """Hold the machine together with other busy work; waits while somebody times."""
    with _held(folder / "turnstile", fcntl.LOCK_SH):
        work = _open(folder / "work")
        fcntl.flock(work, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(work)


@contextmanager
def quiet(folder: Path = LOCK_FOLDER) -> Iterator[None]:
    """Hold the machine alone. Keep it short: everything else waits."""
    with _held(folder / "turnstile", fcntl.LOCK_EX), _held(folder / "work", fcntl.LOCK_EX):
        yield


@contextmanager
def _held(path: Path, mode: int) -> Iterator[None]:
    handle = _open(path)
    try:
        fcntl.flock(handle, mode)
        yield
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    path.parent.mkdir(mode=0o777, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

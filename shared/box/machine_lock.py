"""One lock for a user's work on a machine: `quiet` (exclusive) around a timed block, `busy` (shared) around
whatever would disturb it: steps of decoding, micro-batches of training, compiling. Advisory file locks;
the kernel drops a dead holder's. A turnstile keeps a stream of busy holders from starving the one that wants
quiet.

It lies in a folder of the user's own, where no other user can hold or replace it; or in SHARED, if the
machine's administrator has made that for users who share the machine.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from shared.errors import RatchetError

SHARED = Path("/run/lock/ratchet")  # install -d -o root -g GROUP -m 2770 /run/lock/ratchet
FILES = ("turnstile", "work")


class MachineLockError(RatchetError):
    """The lock can't be trusted or can't be opened. Trying again does not help."""

    exit_code = 77


@contextmanager
def busy(folder: Path | None = None) -> Iterator[None]:
    """Hold the machine together with other busy work; waits while a block is timed."""
    folder = folder or lock_folder()
    with _held(folder / "turnstile", fcntl.LOCK_SH):
        work = _open(folder / "work")
        fcntl.flock(work, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(work)


@contextmanager
def quiet(folder: Path | None = None) -> Iterator[None]:
    """Hold the machine alone. Keep it short: all other work waits."""
    folder = folder or lock_folder()
    with _held(folder / "turnstile", fcntl.LOCK_EX), _held(folder / "work", fcntl.LOCK_EX):
        yield


@cache
def lock_folder() -> Path:
    """Where this user's lock is, checked. Raises MachineLockError."""
    if os.path.lexists(SHARED):
        return shared_folder(SHARED)
    return own_folder(*places())


def places() -> tuple[Path, ...]:
    """Where a folder of the user's own may be, the same for all of the user's processes whatever their
    environment: below the home folder, else in the machine's folder for temporary files."""
    user = os.getuid()
    try:
        home = [Path(pwd.getpwuid(user).pw_dir) / ".cache" / "ratchet" / f"lock-{os.uname().nodename}"]
    except KeyError:  # a container's user often has no name
        home = []
    return (*home, Path(tempfile.gettempdir()) / f"ratchet-lock-{user}")


def own_folder(*candidates: Path) -> Path:
    """The first of them that can be made and written to. Raises MachineLockError where it is not the user's
    own."""
    refused: OSError | None = None
    for folder in candidates:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            if not os.path.lexists(folder):
                refused = error
                continue
        found = _checked(folder)
        if found.st_uid != os.getuid():
            raise MachineLockError(
                f"the machine lock's folder {folder} belongs to user {found.st_uid}", f"remove {folder}"
            )
        if not os.access(folder, os.W_OK):
            refused = OSError(errno.EROFS, "read-only", str(folder))
            continue
        if found.st_mode & 0o077:
            folder.chmod(0o700)
        return folder
    raise MachineLockError(
        f"no folder for the machine lock can be made: {refused}",
        "give this user a home folder that it may write to",
    )


def shared_folder(folder: Path) -> Path:
    """A folder of root's that a group may write to. Raises MachineLockError where it is anything else."""
    found = _checked(folder)
    hint = f"remove it, or: install -d -o root -g GROUP -m 2770 {folder}"
    if found.st_uid != 0 or found.st_mode & 0o007:
        raise MachineLockError(
            f"the machine lock's folder {folder} is not root's with a group's access alone", hint
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise MachineLockError(f"this user may not write to the machine lock's folder {folder}", hint)
    return folder


def _checked(folder: Path) -> os.stat_result:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise MachineLockError(
            f"the machine lock's folder {folder} is no folder, or a link", f"remove {folder}"
        )
    return found


@contextmanager
def _held(path: Path, mode: int) -> Iterator[None]:
    handle = _open(path)
    try:
        fcntl.flock(handle, mode)
        yield
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    """The lock's file itself: no link, no pipe, no second name. Raises MachineLockError."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise MachineLockError(
            f"can't open the machine lock {path}: {error.strerror}", f"remove {path}"
        ) from None
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(handle)
        raise MachineLockError(f"the machine lock {path} is no file of its own", f"remove {path}")
    if found.st_uid == os.getuid() and path.parent == SHARED and found.st_mode & 0o060 != 0o060:
        os.fchmod(handle, 0o660)  # whatever the umask: the group's others must be able to wait for it
    return handle

"""Process control: children that die with their parent, process groups to kill when a lease is lost, whether
a lease holder is alive, and a lock against forking with open connections. It starts no process.
"""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_groups: set[int] = set()
_groups_lock = threading.Lock()
_fork_lock = threading.RLock()
_closers: list[Callable[[], None]] = []


def die_with_parent() -> None:
    """For Popen(preexec_fn=...) and pool children: SIGKILL when the *thread* that forked them ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def end_with_parent() -> None:
    """The same for children that end in order: SIGTERM."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextmanager
def no_fork() -> Iterator[None]:
    """No fork that continues in Python happens inside. A SQLite connection does not survive one: the child
    would act as if it held this process's file locks."""
    with _fork_lock:
        yield


def close_before_fork(close: Callable[[], None]) -> None:
    """Have this called before each fork that continues in Python, while nothing is inside `no_fork`."""
    _closers.append(close)


def _before_fork() -> None:
    _fork_lock.acquire()
    for close in _closers:
        close()


os.register_at_fork(
    before=_before_fork, after_in_parent=_fork_lock.release, after_in_child=_fork_lock.release
)


def register(pgid: int) -> None:
    """Kill this process group when the current job's lease is lost."""
    with _groups_lock:
        _groups.add(pgid)


def unregister(pgid: int) -> None:
    with _groups_lock:
        _groups.discard(pgid)


def kill_all() -> None:
    """SIGKILL every registered group. Groups that are gone already are no error."""
    with _groups_lock:
        groups = list(_groups)
        _groups.clear()
    for pgid in groups:
        kill_group(pgid)


def kill_group(pgid: int) -> None:
    """SIGKILL a process that began a session, and all that it has started. One that is gone is no error."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signal.SIGKILL)


def owner_name() -> str:
    """This process as a lease holder: host, machine, pid and start time (a reused pid is another owner)."""
    return f"{socket.gethostname()}/{_machine()}/{os.getpid()}/{_started(os.getpid())}"


def is_gone(owner: str) -> bool:
    """Whether that holder is a process of this machine that has ended. False where that can't be known: hosts
    may share a name (a copied machine, containers), and then their pids mean nothing here."""
    place, _, rest = owner.partition("/")[2].partition("/")
    pid, _, started = rest.partition("/")
    return bool(place) and place == _machine() and pid.isdigit() and _started(int(pid)) != started


@functools.cache
def _machine() -> str:
    """This boot and this pid namespace: where a pid means one process. Empty where they can't be read."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        return ""
    return f"{boot[:13]}-{namespace}"


def _started(pid: int) -> str:
    """Start time in clock ticks since boot; "" for a process that is gone or only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]

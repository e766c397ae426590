"""A control group for one box, where the machine permits one (v1 memory and pids, or v2): it holds the memory
and the processes of the whole box together, which rlimits can't. Where none can be made, memory is limited
per process only, and `ratchet doctor` reports it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

PREFIX = "ratchet-box-"
RMDIR_PATIENCE_S = 0.5  # the kernel may need a moment after the last process is gone
ENTER_SCRIPT = """set -e
count=$1; shift
while [ $count -gt 0 ]; do echo $$ > "$1"; count=$((count - 1)); shift; done
exec "$@"
"""


@dataclass(frozen=True)
class Group:
    """The folders of one box's group: one under v2, one a controller under v1."""

    folders: tuple[Path, ...]

    def enter_argv(self) -> list[str]:
        """What comes before the chain, so that it is inside from its first program on."""
        files = [str(folder / "cgroup.procs") for folder in self.folders]
        return ["sh", "-c", ENTER_SCRIPT, "enter", str(len(files)), *files]

    def out_of_memory(self) -> bool:
        """Whether the kernel has killed anything in it for want of memory."""
        for folder in self.folders:
            for name in ("memory.events", "memory.oom_control"):
                with contextlib.suppress(OSError):
                    words = (folder / name).read_text(encoding="utf-8").split()
                    return int(dict(zip(words[::2], words[1::2], strict=False)).get("oom_kill", 0)) > 0
        return False

    def remove(self) -> None:
        """Once all its processes are gone. A folder that stays is swept by a later probe."""
        deadline = time.monotonic() + RMDIR_PATIENCE_S
        for folder in self.folders:
            while folder.exists() and time.monotonic() < deadline:
                try:
                    folder.rmdir()
                except OSError:
                    time.sleep(0.002)


def make_group(memory_bytes: int, processes: int) -> Group | None:
    """A group with these limits, or None where this machine lets us make none."""
    places = _places()
    name = f"{PREFIX}{os.getpid()}-{secrets.token_hex(6)}"
    group = Group(tuple(dict.fromkeys(place / name for place in places.values())))
    if not places:
        return None
    try:
        for folder in group.folders:
            folder.mkdir()
        _limit(places["memory"] / name, memory_bytes)
        (places["pids"] / name / "pids.max").write_text(str(processes), encoding="utf-8")
    except OSError:
        group.remove()
        return None
    return group


def can_make_groups() -> bool:
    """Found out by making one."""
    group = make_group(1 << 24, 8)
    if group:
        group.remove()
    return group is not None


def sweep() -> None:
    """Remove the groups of boxes whose owner was killed before it could."""
    for place in set(_places().values()):
        for folder in place.glob(f"{PREFIX}*"):
            owner = folder.name.removeprefix(PREFIX).partition("-")[0]
            if not Path("/proc", owner).exists():
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _limit(folder: Path, size: int) -> None:
    if (folder / "memory.max").exists():  # v2
        (folder / "memory.max").write_text(str(size), encoding="utf-8")
        _optional(folder / "memory.swap.max", "0")
        _optional(folder / "memory.oom.group", "0")
        return
    (folder / "memory.limit_in_bytes").write_text(str(size), encoding="utf-8")
    _optional(folder / "memory.memsw.limit_in_bytes", str(size))


def _optional(path: Path, value: str) -> None:
    """A setting that kernels without swap accounting do not have."""
    if path.exists():
        path.write_text(value, encoding="utf-8")


@lru_cache(maxsize=1)
def _places() -> dict[str, Path]:
    """The folder of our own group for "memory" and for "pids"; empty unless both let us make children."""
    found: dict[str, Path] = {}
    mounts = _mounts()
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(",") if controllers else ("memory", "pids"):
            mount = mounts.get(name if controllers else "")
            if name not in ("memory", "pids") or mount is None:
                continue
            root, point = mount
            relative = os.path.relpath(path, root)
            place = point if relative.startswith("..") else point / relative
            if controllers or _hand_down(place, name):
                found[name] = place
    usable = len(found) == 2 and all(os.access(place, os.W_OK) for place in found.values())
    return found if usable else {}


def _hand_down(place: Path, controller: str) -> bool:
    """v2: whether children of `place` have the controller, switched on here if that is allowed."""
    try:
        if controller not in (place / "cgroup.controllers").read_text(encoding="utf-8").split():
            return False
        handed = place / "cgroup.subtree_control"
        if controller not in handed.read_text(encoding="utf-8").split():
            handed.write_text(f"+{controller}", encoding="utf-8")
    except OSError:  # not ours, or processes live in it
        return False
    return True


def _mounts() -> dict[str, tuple[str, Path]]:
    """Controller ("" is v2): the root and the folder of its mount."""
    found: dict[str, tuple[str, Path]] = {}
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        root, point = before.split(" ")[3:5]
        if kind == "cgroup2":
            found[""] = (root, Path(point))
        elif kind == "cgroup":
            found.update({option: (root, Path(point)) for option in options.split(",")})
    return found

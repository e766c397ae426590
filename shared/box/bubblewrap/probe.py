"""Attacks the box before anything untrusted enters it: starts attack.py inside, with a listener and a secret
file outside as targets, and turns the results into layers. No setting is trusted.
"""

from __future__ import annotations

import json
import platform
import socket
import sys
import tempfile
from pathlib import Path

from shared.box.box import Bind, Box, BoxResult, Layer, Limits
from shared.box.bubblewrap.box import BubblewrapBox
from shared.box.bubblewrap.cgroup import can_make_groups, sweep
from shared.box.bubblewrap.launch import missing_tools, toolchain_binds
from shared.box.bubblewrap.seccomp import ARCHES, filter_program
from shared.errors import BoxError

HERE = Path(__file__).resolve().parent
# On a machine that others keep busy an attack may wait long for a processor, and a timeout is no finding.
ATTACK_LIMITS = Limits(wall_s=120, cpu_s=10, memory_mb=512, processes=12, file_mb=8)
HOARD_LIMITS = Limits(wall_s=120, cpu_s=10, memory_mb=96, processes=12, file_mb=1)
HOARD_MB = 70  # fits under the limit of one process; twice that is over the box's
PYTHON = (sys.executable, "-I", "-S")
TOOLCHAIN_LIMITS = Limits(wall_s=120, cpu_s=60, memory_mb=2048, processes=16)
LAYERS = {  # what attack.py tries, and the hint where it gets through
    "descriptors": "",
    "identity": "use bubblewrap 0.8 or newer, and start Ratchet as an ordinary user or as root",
    "network": "the kernel must have network namespaces",
    "host files": "do not make host folders part of /usr",
    "kernel settings": "start Ratchet as an ordinary user, or install util-linux so that root can be dropped",
    "sizes": "use bubblewrap 0.8 or newer",
    "other processes": "the kernel must have pid namespaces",
    "process limit": "use Linux 5.14 or newer",
}
USERNS_HINT = (
    "let users make namespaces: sysctl kernel.unprivileged_userns_clone=1 (Debian), "
    "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), user.max_user_namespaces=10000; "
    "in a container: --security-opt seccomp=unconfined"
)
GROUP_HINT = (
    "optional: let Ratchet make control groups: run it in a systemd unit with Delegate=yes, "
    "or mount /sys/fs/cgroup writable in its container"
)
OPENMP_PROGRAM = """#include <omp.h>
int main(void) { int n = 0;
#pragma omp parallel reduction(+:n)
n += 1;
return n < 1; }
"""


def probe(*, imports: bool = False) -> list[Layer]:
    """Attack the box from inside and return which layers hold. `imports` also tries numpy, sklearn and
    gcc."""
    missing = missing_tools()
    if missing:
        hint = "apt-get install bubblewrap util-linux"
        return [Layer("bubblewrap", False, f"not installed: {', '.join(missing)}", hint)]
    box = BubblewrapBox()
    layers = attack_layers(box)
    if imports and all(layer.ok for layer in layers):
        layers += toolchain_layers(box)
    return layers


def attack_layers(box: Box) -> list[Layer]:
    """What held when the box was attacked from inside, one layer an attack, bubblewrap itself first."""
    with (
        tempfile.NamedTemporaryFile(prefix="ratchet-secret-") as secret,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        port, size = listener.getsockname()[1], ATTACK_LIMITS.file_mb << 20
        argv = [*PYTHON, str(HERE / "attack.py"), str(port), secret.name]
        try:
            argv += [str(size), str(ATTACK_LIMITS.processes), *(bind.target for bind in toolchain_binds())]
            done = box.run(argv, limits=ATTACK_LIMITS)
        except BoxError as error:
            return [Layer("bubblewrap", False, error.message, USERNS_HINT)]
    if done.outcome != "ok":
        return [Layer("interpreter", False, _tail(done), "the interpreter's folder must be readable by all")]
    met: dict[str, str] = json.loads(done.stdout)
    layers = [Layer("bubblewrap", True)] + [
        Layer(name, met.get(name) == "", met.get(name, "was not tried"), "" if met.get(name) == "" else hint)
        for name, hint in LAYERS.items()
    ]
    return [*layers, _system_calls(box), _total_memory(box)]


def _system_calls(box: Box) -> Layer:
    name = "system calls"
    if not filter_program():
        hint = "use a machine of " + " or ".join(ARCHES)
        return Layer(name, False, f"no filter is written for {platform.machine()}", hint)
    done = box.run([*PYTHON, str(HERE / "attack_calls.py")], limits=ATTACK_LIMITS)
    passed = done.stdout.decode(errors="replace").strip() if done.outcome == "ok" else _tail(done)
    hint = "use bubblewrap 0.8 or newer and a kernel with CONFIG_SECCOMP_FILTER; nothing may strip --seccomp"
    return Layer(name, not passed, passed, hint if passed else "")


def _total_memory(box: Box) -> Layer:
    """The only layer that may be missing: then the detail states it, and how to fix it."""
    name = "total memory"
    sweep()
    if not can_make_groups():
        return Layer(name, True, f"reduced: memory is limited per process only; {GROUP_HINT}")
    done = box.run([*PYTHON, str(HERE / "attack_memory.py"), str(HOARD_MB)], limits=HOARD_LIMITS)
    held = done.outcome == "over_limit" or done.stdout in (b"0\n", b"1\n")
    detail = "" if held else f"two processes held more than the box may: {_tail(done) or 'unhindered'}"
    return Layer(name, held, detail, "" if held else "mount the memory controller, or make it read-only")


def toolchain_layers(box: Box) -> list[Layer]:
    """Whether numpy and scikit-learn import inside, and gcc compiles and runs an OpenMP program there."""
    layers = []
    for module in ("numpy", "sklearn"):
        done = box.run(
            [sys.executable, "-I", "-c", f"import {module}"],
            limits=TOOLCHAIN_LIMITS,
            env={"OMP_NUM_THREADS": "1"},
        )
        hint = "" if done.outcome == "ok" else "install Ratchet into this environment again"
        layers.append(Layer(f"{module} inside", done.outcome == "ok", _tail(done), hint))
    with tempfile.TemporaryDirectory(prefix="ratchet-probe-") as folder:
        Path(folder, "a.c").write_text(OPENMP_PROGRAM, encoding="utf-8")
        done = box.run(
            ["sh", "-c", "gcc -O1 -fopenmp a.c -o a && OMP_NUM_THREADS=2 ./a"],
            binds=[Bind(Path(folder), "/probe", writable=True)],
            limits=TOOLCHAIN_LIMITS,
            cwd="/probe",
        )
    hint = "" if done.outcome == "ok" else "apt-get install gcc libc6-dev"
    return [*layers, Layer("gcc inside", done.outcome == "ok", _tail(done), hint)]


def _tail(done: BoxResult) -> str:
    """Nothing where it went well, else the outcome with the end of stderr."""
    return (
        ""
        if done.outcome == "ok"
        else f"{done.outcome}: {done.stderr.decode(errors='replace').strip()[-300:]}"
    )

"""The box: where programs written by a model run. No network, nothing of the host but a read-only toolchain
and what is bound, hard limits, and nothing left behind. On a machine bubblewrap does the isolating
(bubblewrap/); where RATCHET_BOXES names a file, a box is a pod of a cluster (pods/).

    box = open_box()                                   # attacks itself first; refuses if a layer is missing
    result = box.run(["gcc", ...], binds=[Bind(folder, "/work", writable=True)], limits=Limits(wall_s=30))
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from shared.box.bubblewrap.cgroup import make_group
from shared.box.bubblewrap.launch import Bind, Limits, launch_argv, missing_tools
from shared.box.bubblewrap.process import Launch, run_process, start_process
from shared.box.bubblewrap.seccomp import filter_file
from shared.box.process import BoxedProcess, BoxOutcome, BoxResult
from shared.errors import BoxError, BoxNotWholeError

__all__ = [
    "Bind",
    "Box",
    "BoxOutcome",
    "BoxResult",
    "BoxedProcess",
    "BubblewrapBox",
    "Layer",
    "Limits",
    "open_box",
    "probe",
]

NO_ENV: Mapping[str, str] = {}
BOXES = "RATCHET_BOXES"  # the variable that names a file of pods.box.BoxSettings
OWN_PROCESSES = 4  # of bubblewrap, that a box's control group counts too


@dataclass(frozen=True)
class Layer:
    """One layer of isolation: whether it held when attacked, and what to do where it did not."""

    name: str
    ok: bool
    detail: str = ""
    hint: str = ""


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
        """Start and hand over the pipes. The wall clock and the output cap are then the caller's."""
        ...


class BubblewrapBox(Box):
    """A box on this machine. As root, a writable bind's folder is given to the box's own uid; a file in it
    may be a link or a FIFO.
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
        return run_process(self._launch(argv, binds, limits, env, cwd, python), limits, stdin)

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
        return start_process(self._launch(argv, binds, limits, env, cwd, python))

    def _launch(
        self,
        argv: Sequence[str],
        binds: Sequence[Bind],
        limits: Limits,
        env: Mapping[str, str],
        cwd: str,
        python: bool,
    ) -> Launch:
        status, syscalls = os.pipe(), filter_file()
        group = make_group(limits.box_memory_bytes, limits.processes + OWN_PROCESSES)
        try:
            chain = launch_argv(
                argv,
                binds,
                limits,
                env=env,
                cwd=cwd,
                status_fd=status[1],
                filter_fd=syscalls,
                python=python,
            )
        except OSError as error:
            for handle in (*status, *([] if syscalls is None else [syscalls])):
                os.close(handle)
            if group:
                group.remove()
            raise BoxError(
                f"can't ready the box: {error}", "every bound path must exist and be ours"
            ) from error
        passed = (status[1],) if syscalls is None else (status[1], syscalls)
        return Launch([*(group.enter_argv() if group else []), *chain], status[0], passed, group)


def probe(*, imports: bool = False) -> list[Layer]:
    """Attack the box from inside and say which layers hold. `imports` also tries numpy, sklearn and gcc."""
    from shared.box.bubblewrap.probe import attack_layers, toolchain_layers  # they need Box and Layer

    missing = missing_tools()
    if missing:
        hint = "apt-get install bubblewrap util-linux"
        return [Layer("bubblewrap", False, f"not installed: {', '.join(missing)}", hint)]
    box = BubblewrapBox()
    layers = attack_layers(box)
    if imports and all(layer.ok for layer in layers):
        layers += toolchain_layers(box)
    return layers


@lru_cache(maxsize=1)
def open_box() -> Box:
    """The box, once it has held against its own attacks. Raises BoxNotWholeError naming layer and hint."""
    if where := os.environ.get(BOXES):
        from shared.box.pods.box import open_pod_box  # it needs Box

        return open_pod_box(Path(where))
    broken = [layer for layer in probe() if not layer.ok]
    if broken:
        first = broken[0]
        raise BoxNotWholeError(f"the box is not whole: {first.name}: {first.detail}", first.hint)
    return BubblewrapBox()

"""Runs a heavy program as a child: own process group, dies with the worker, its lines go to a log file and on
to the worker's log. It reads nothing of what the program makes.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path

from shared.children import die_with_parent, kill_group, register, unregister
from shared.errors import RatchetError

log = logging.getLogger(__name__)

NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
TAIL_LINES = 12  # of its output, in the error of a child that failed


class ChildDiedError(RatchetError):
    """A training process ended without a result: killed, out of memory, a bug. Resumed on the next try."""

    transient = True


def run_child(module: str, spec: Path, *, threads: int, processes: int = 1, on_cpu: bool = False) -> None:
    """`python -m module SPEC`, under the deepspeed launcher where processes > 1. Raises ChildDiedError.
    `on_cpu`: no GPU is visible to it."""
    argv = [sys.executable, "-m", module, str(spec)]
    if processes > 1:
        argv = [*launcher(processes), module, str(spec)]
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    with subprocess.Popen(
        argv,
        env=environment(max(1, threads // processes)) | (NO_GPU if on_cpu else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        preexec_fn=die_with_parent,
    ) as child:
        register(child.pid)
        try:
            follow(child, spec.with_name("log.txt"), tail)
        finally:
            unregister(child.pid)
            kill_group(child.pid)  # the processes that it left behind
    if child.returncode != 0:
        raise ChildDiedError(f"{module} ended with {child.returncode}: " + " | ".join(tail))


def launcher(processes: int) -> list[str]:
    """The deepspeed launcher on this machine, with a free port for the processes to meet at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--num_gpus", str(processes), "--master_addr", "127.0.0.1", "--master_port", str(port)]
    return [sys.executable, "-m", "deepspeed.launcher.runner", *options, "--module"]


def environment(threads: int) -> dict[str, str]:
    """The worker's own, with a thread limit, no access to a model hub and no progress bars. Threads that wait
    sleep: where others use the machine too, spinning ones made a step of SmolLM2 take 150 s instead of 24 s
    (two threads on two cores, load 13, 2026-11-29)."""
    waiting = {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}
    quiet = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false"}
    return os.environ | quiet | waiting | {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}


def follow(child: subprocess.Popen[str], path: Path, tail: deque[str]) -> None:
    """Until it ends: every line into its file, into the tail, and into our log."""
    assert child.stdout is not None
    with path.open("a", encoding="utf-8") as file:
        for line in child.stdout:
            file.write(line)
            file.flush()
            tail.append(line.strip()[-300:])
            log.info("%s", line.rstrip())
    child.wait()

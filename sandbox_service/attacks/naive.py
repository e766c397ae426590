"""A harness as they are too often written, for the attacks to succeed on: it runs the candidate as a plain
program with the caller's environment, trusts what it prints, and reads what it leaves. Only the limits that
keep this machine safe are ours. Never use it for anything else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAM = Path(__file__).with_name("naive_program.py")
SAFE = ("prlimit", "--as=2147483648", "--cpu=10", "--fsize=134217728000", "--core=0", "--")
SAFE_COMPILE = ("prlimit", "--as=536870912", "--cpu=2", "--fsize=134217728", "--core=0", "--")
TIME_LIMIT_S = 6.0
COMPILE_LIMIT_S = 4.0
LARGEST_LIBRARY = 16 << 20


@dataclass(frozen=True)
class Verdict:
    """What the harness believes. `hung`: it had to be freed from outside, or was fed too much."""

    correct: bool = False
    speedup: float = 0.0
    hung: bool = False


def judge_kernel(source: str, folder: Path, env: Mapping[str, str]) -> Verdict:
    """Compile, load, time and check, all in a process that the candidate shares."""
    (folder / "kernel.c").write_text(source)
    library = folder / "kernel.so"
    library.unlink(missing_ok=True)
    compiler = ["gcc", "-O1", "-w", "-shared", "-fPIC", "kernel.c", "-o", str(library), "-lm", "-lpthread"]
    try:
        subprocess.run([*SAFE_COMPILE, *compiler], cwd=folder, capture_output=True, timeout=COMPILE_LIMIT_S)
    except subprocess.TimeoutExpired:
        return Verdict(hung=True)
    if not library.exists():
        return Verdict(hung='#include "/dev' in source or "C(C(" in source)
    if library.stat().st_size > LARGEST_LIBRARY:
        return Verdict(correct=True, hung=True)
    started = time.monotonic()
    done = run_program([sys.executable, str(PROGRAM), str(library)], folder, env)
    if done is None:
        return Verdict(hung=True)
    lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("{")]
    if lines:
        result = json.loads(lines[0])
        return Verdict(bool(result["correct"]), float(result["speedup"]))
    return Verdict(done.returncode == 0, 1.0 / (time.monotonic() - started) if done.returncode == 0 else 0.0)


def run_program(
    argv: Sequence[str], folder: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes] | None:
    """Run to its end, or ask it to end at the time limit and not look back: then None."""
    with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
        process = subprocess.Popen(
            [*SAFE, *argv],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **env},
        )
        try:
            code = process.wait(TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.terminate()
            _leave(process)
            return None
    return subprocess.CompletedProcess(
        argv, code, (folder / "stdout").read_bytes(), (folder / "stderr").read_bytes()
    )


def collect(path: Path) -> bytes | None:
    """Whatever is there, followed and read to its end; None where that would take for ever."""
    try:
        return subprocess.run(["cat", str(path)], capture_output=True, timeout=1.0).stdout
    except subprocess.TimeoutExpired:
        return None


def _leave(process: subprocess.Popen[bytes]) -> None:
    """A moment to go; what ignores the signal runs on, which is the point. run.py ends it by its id."""
    try:
        process.wait(0.3)
    except subprocess.TimeoutExpired:
        LEFT_RUNNING.append(process)


LEFT_RUNNING: list[subprocess.Popen[bytes]] = []


def clear_away() -> None:
    """End what was left running."""
    while LEFT_RUNNING:
        process = LEFT_RUNNING.pop()
        process.kill()
        process.wait()

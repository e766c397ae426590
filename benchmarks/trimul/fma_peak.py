"""The peak rate of the cores: fused multiply-adds in registers, no memory at all. A floor for every
program that is bound by products, and so for how much faster than another one it can be.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.messages.records import JsonObject
from shared.tasks.task import TASKS

MEASURED = TASKS / "trimul" / "peak.c"  # when it is loaded
LOAD = "import ctypes, sys; print(ctypes.c_double.in_dll(ctypes.CDLL(sys.argv[1]), 'peak_gflops').value)"


def peak_flops(flags: Sequence[str], threads: int, folder: Path) -> float:
    """Multiplications and additions a second of the threads' own computing, of all together, as the task's
    baseline measures it in the sandbox."""
    library = folder / "peak.so"
    subprocess.run(["gcc", *flags, "-shared", "-fPIC", str(MEASURED), "-o", str(library)], check=True)
    own = os.environ | {"OMP_NUM_THREADS": str(threads)}
    argv = [sys.executable, "-c", LOAD, str(library)]
    return 1e9 * float(subprocess.run(argv, env=own, capture_output=True, text=True, check=True).stdout)


def trimul_flops(n: int, c: int, h: int) -> int:
    """Of the products alone: five projections, the contraction, the way out."""
    return 2 * n * n * h * (5 * c + n + c)


def shares(median_ms: dict[str, float], flops: int, peak: float) -> JsonObject:
    """The time that the products take at the peak, and which share of the peak each program reaches."""
    floor_ms = flops / peak * 1e3
    return {
        "products_at_peak_ms": round(floor_ms, 2),
        "share_of_peak": {name: round(floor_ms / found, 3) for name, found in median_ms.items()},
    }

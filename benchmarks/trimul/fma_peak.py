"""The peak rate of the cores: fused multiply-adds in registers, no memory at all. A floor for every
program that is bound by products, and so for how much faster than another one it can be.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path
from time import process_time

from shared.messages.records import JsonObject

CHAINS, WIDTH = 16, 16  # independent vectors of floats: enough for two units of a latency of four to eight
STEPS = 4_000_000
TRIES = 7
SOURCE = f"""
typedef float v __attribute__((vector_size(4 * {WIDTH})));
float chains(int threads, long steps) {{
    float total = 0;
    #pragma omp parallel num_threads(threads) reduction(+ : total)
    {{
        v sums[{CHAINS}], x = (v){{}} + 0.999f, y = (v){{}} + 0.001f;
        for (int c = 0; c < {CHAINS}; c++) sums[c] = (v){{}} + (2 + 0.3f * c);
        for (long s = 0; s < steps; s++)
            _Pragma("GCC unroll {CHAINS}") for (int c = 0; c < {CHAINS}; c++) sums[c] = sums[c] * x + y;
        for (int c = 0; c < {CHAINS}; c++) total += sums[c][0];
    }}
    return total;
}}
"""


def peak_flops(flags: Sequence[str], threads: int, folder: Path) -> float:
    """Multiplications and additions a second of the threads' own computing, of all together: the best of some
    tries."""
    library = folder / "peak.so"
    command = ["gcc", *flags, "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)]
    subprocess.run(command, input=SOURCE, encoding="utf-8", check=True)
    chains = ctypes.CDLL(str(library)).chains
    chains.restype, chains.argtypes = ctypes.c_float, [ctypes.c_int, ctypes.c_long]
    fastest_s = float("inf")
    for _ in range(TRIES):
        started_s = process_time()
        chains(threads, STEPS)
        fastest_s = min(fastest_s, (process_time() - started_s) / threads)
    return 2.0 * threads * CHAINS * WIDTH * STEPS / fastest_s


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

"""Whether a CPU multiplies bfloat16 faster than float32, as Linux tells it. Not how fast: benchmarks/trainer
and benchmarks/serving measure that.
"""

from __future__ import annotations

from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BFLOAT16 = {"avx512_bf16", "amx_bf16"}  # instructions for products of bfloat16 numbers, summed in float32
PAYS_FROM = 512  # hidden size of a model: below, casting costs what the products save


def bfloat16_pays(hidden: int, cpuinfo: Path = CPUINFO) -> bool:
    """For products with the weights of a model of that hidden size."""
    return hidden >= PAYS_FROM and not BFLOAT16.isdisjoint(_flags(cpuinfo))


def _flags(cpuinfo: Path) -> frozenset[str]:
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    return frozenset(next((line.split(":", 1)[1] for line in lines if line.startswith("flags")), "").split())

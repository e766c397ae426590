"""What Linux tells of a CPU, and whether it multiplies bfloat16 faster than float32. Not how fast:
benchmarks/trainer and benchmarks/serving measure that.
"""

from __future__ import annotations

from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BFLOAT16 = {"avx512_bf16", "amx_bf16"}  # instructions for products of bfloat16 numbers, summed in float32
PAYS_FROM = 512  # hidden size of a model: below, casting costs what the products save


def bfloat16_pays(hidden: int, cpuinfo: Path = CPUINFO) -> bool:
    """For products with the weights of a model of that hidden size."""
    return hidden >= PAYS_FROM and not BFLOAT16.isdisjoint(cpu_facts(cpuinfo).get("flags", "").split())


def cpu_facts(cpuinfo: Path = CPUINFO) -> dict[str, str]:
    """Of the first core, by Linux's names; empty on other systems."""
    text = cpuinfo.read_text(encoding="utf-8") if cpuinfo.exists() else ""
    pairs = (line.split(":", 1) for line in text.partition("\n\n")[0].splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}

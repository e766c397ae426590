"""One line about the machine that something was measured on, and the date, to stand beside its numbers."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from shared.cpu import CPUINFO, cpu_facts

WORTH_NAMING = {  # instructions that change what is measured: processors of one name have them or not
    "avx512f": "AVX-512",
    "avx512_bf16": "AVX512-BF16",
    "avx512_fp16": "AVX512-FP16",
    "amx_tile": "AMX",
}


def machine_and_date() -> dict[str, str]:
    return {"machine": describe_machine(), "date": datetime.now(UTC).date().isoformat()}


def describe_machine(cpuinfo: Path = CPUINFO) -> str:
    facts = cpu_facts(cpuinfo)
    flags = facts.get("flags", "").split()
    named = [name for flag, name in WORTH_NAMING.items() if flag in flags]
    model = " with ".join(filter(None, (facts.get("model name", ""), ", ".join(named))))
    return f"{platform.machine()}, {os.cpu_count()} cores, {model}, Python {platform.python_version()}"

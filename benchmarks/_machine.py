"""One line about the machine that a benchmark ran on, to stand beside its numbers."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe_machine() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{platform.machine()}, {os.cpu_count()} cores, {model}, Python {platform.python_version()}"

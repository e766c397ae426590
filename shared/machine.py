"""One line about the machine that something was measured on, and the date, to stand beside its numbers."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def machine_and_date() -> dict[str, str]:
    return {"machine": describe_machine(), "date": datetime.now(UTC).date().isoformat()}


def describe_machine() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{platform.machine()}, {os.cpu_count()} cores, {model}, Python {platform.python_version()}"

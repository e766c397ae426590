"""Whether a process that is not a child of this one still runs."""

import time
from pathlib import Path


def runs(pid: int) -> bool:
    """Not where it only waits to be reaped, by whoever adopted it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def ends_soon(pid: int, patience_s: float = 20.0) -> bool:
    deadline = time.monotonic() + patience_s
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not runs(pid)

"""Whether a process of another's has ended."""

import time
from pathlib import Path


def ends_soon(pid: int, patience_s: float = 10.0) -> bool:
    """One that only waits to be reaped, by whoever adopted it, has ended."""
    for _ in range(int(patience_s / 0.05)):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.05)
    return False

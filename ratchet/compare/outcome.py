"""What a search or best-of-n leaves in its folder when it is finished (result.json): sealed scores and cost.
A whole run has its ledger instead.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = "result.json"


def is_finished(folder: Path) -> bool:
    return (folder / FILE).exists()


def write_outcome(
    folder: Path, sealed: dict[str, float], evaluations: int, wall_s: float, **more: Any
) -> None:
    """`sealed`: scores by instance. `more`: what is worth keeping beside it (the best point, tokens)."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {"sealed": sealed, "evaluations": evaluations, "wall_s": wall_s, **more}
    (folder / FILE).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def read_outcome(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    return found

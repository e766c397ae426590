"""The training curves: what is watched of every step, as lines of a file beside the checkpoints, kept when
training resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def append(path: Path, step: int, watched: Mapping[str, float]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" + json.dumps({"step": step} | dict(watched)))  # the last line may have been cut short


def write_progress(path: Path, done: int, steps: int, left_s: float) -> None:
    """How far the training is; ratchet/reports/training.py reads the file."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps({"done": done, "steps": steps, "left_s": left_s}), encoding="utf-8")
    temporary.replace(path)


def read(path: Path, names: tuple[str, ...]) -> dict[str, tuple[float, ...]]:
    """One series a name. A step that was taken twice, since its checkpoint was lost, counts once: the last
    time. A line that was cut short by a kill is left out."""
    rows: dict[int, dict[str, float]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        rows[row["step"]] = row
    complete = [name for name in names if all(name in row for row in rows.values())]
    return {name: tuple(rows[step][name] for step in sorted(rows)) for name in complete}

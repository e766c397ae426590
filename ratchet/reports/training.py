"""The trainings of a run: their curves, and how far the one under way is. It reads the ledger, the store and,
on the same machine, the trainer's progress file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.ledger.history.state import Proposal
from shared.ledger.ledger import LoggedEvent
from shared.messages.events import AdapterPublished, RunFinished, WeightUpdateFailed, WeightUpdateProposed
from shared.messages.proposals import TrainingCurves
from shared.store.store import Store, get_record


def curves_of(proposal: Proposal, store: Store) -> dict[str, list[float]] | None:
    """One value a step of each series; None where there are none: no training, or one of an older version."""
    if not proposal.curves:
        return None
    series = get_record(store, proposal.curves, TrainingCurves).series
    return {name: list(values) for name, values in series.items()}


def curves_text(curves: Mapping[str, Sequence[float]] | None) -> str:
    """`trained 3 steps: loss 2 to 1.25, reward 0.1 to 0.4`; empty where there are no curves."""
    series = {name: values for name, values in (curves or {}).items() if values}
    if not series:
        return ""
    ends = [f"{name} {values[0]:.4g} to {values[-1]:.4g}" for name, values in series.items()]
    return f"trained {max(map(len, series.values()))} steps: {', '.join(ends)}"


def curves_by_generation(shown: dict[str, Any]) -> dict[int, dict[str, list[float]]]:
    """Of a run as `show --json` gives it."""
    weights = {row["generation"]: row["proposals"]["weights"] for row in shown["generations"]}
    return {number: found["curves"] for number, found in weights.items() if found and found["curves"]}


def progress_line(cache_dir: Path, log: Sequence[LoggedEvent]) -> str:
    """`training 12/51 steps, about 4 min left`; empty where nothing is trained, or not on this machine."""
    proposed: WeightUpdateProposed | None = None
    for logged in log:
        if isinstance(logged.event, WeightUpdateProposed):
            proposed = logged.event
        elif isinstance(logged.event, AdapterPublished | WeightUpdateFailed | RunFinished):
            proposed = None
    if proposed is None:
        return ""
    try:
        path = cache_dir / "training" / proposed.digest / "progress.json"
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "training: reading its samples" if (cache_dir / "training").is_dir() else ""
    left = duration(found["left_s"]) if found["done"] < found["steps"] else "being verified"
    return f"training {found['done']}/{found['steps']} steps, {left}"


def duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"

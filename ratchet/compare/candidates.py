"""The scores of an arm's train candidates in their order, with the evaluations that were spent until each:
what its curves are drawn from.
"""

from __future__ import annotations

import json
from pathlib import Path

from ratchet.compare.search import TRIALS
from ratchet.runs import findings
from shared.ledger.history.state import RunHistory
from shared.messages.records import JsonObject
from shared.store.store import Store

RECENT = 16  # candidates that the mean of the last ones is taken over


def loop_candidates(history: RunHistory, store: Store) -> JsonObject:
    """Of a run. A generation's screens and confirmations come after its candidates, and are counted too."""
    found = findings.read(history, store)
    spent = 0
    scores: list[float] = []
    evaluations: list[int] = []
    for generation in history.generations:
        made = found.scores.get(generation.number, [])
        scores += made
        evaluations += range(spent + 1, spent + len(made) + 1)
        spent += generation.cost.evaluations
    return _figures(scores, evaluations)


def search_candidates(folder: Path) -> JsonObject:
    """Of a search arm."""
    rows = [json.loads(line) for line in (folder / TRIALS).read_text(encoding="utf-8").splitlines()]
    scores = [row["score"] for row in rows if row["stage"] == "search"]
    return _figures(scores, list(range(1, len(scores) + 1)))


def _figures(scores: list[float], evaluations: list[int]) -> JsonObject:
    last = scores[-RECENT:]
    return {
        "evaluations": evaluations,
        "scores": scores,
        "best": max(scores, default=None),
        "last_mean": sum(last) / len(last) if last else None,
    }

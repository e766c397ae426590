"""Attempts, shards and situations made by hand, for the tests of feedback's pure parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.messages.records import (
    AttemptPlan,
    AttemptState,
    Candidate,
    Evaluation,
    Outcome,
    Release,
    Sample,
    ShardState,
    Turn,
)

RELEASE = Release(base="b" * 64, harness="h" * 64)


def attempt(
    instance: str,
    score: float | None,
    *,
    arm: str = "train",
    seed: int = 0,
    reply: str = "{}",
    outcome: Outcome = "ok",
    error: str = "",
    detail: str = "",
    ending: str = "",
) -> AttemptState:
    """One reply, tried once and answered. score None: it ended without an evaluation."""
    plan = AttemptPlan(attempt_id="a", instance={"id": instance}, arm=arm, release=RELEASE, seed=seed)
    if score is None:
        return AttemptState(plan=plan, error=error)
    candidate = Candidate(content=f"program of {reply}", samples=(0,))
    result = Evaluation(outcome=outcome, score=score, detail=detail)
    asked = Turn(action={"ask": []}, replies=(Sample(text=reply, finish_reason=ending),))
    tried = Turn(action={"try": [candidate.model_dump(mode="json")]}, results=(result,))
    return AttemptState(plan=plan, turns=(asked, tried), answer=candidate, final=result, error=error)


def shard(attempts: Sequence[AttemptState]) -> ShardState:
    return ShardState(attempts=tuple(attempts))


def compared(scores: dict[str, dict[str, float | None]], **changes: Any) -> ShardState:
    """A shard of arms: {"base": {"i1": 0.5}, ...}."""
    return shard([attempt(i, s, arm=arm, **changes) for arm, by in scores.items() for i, s in by.items()])

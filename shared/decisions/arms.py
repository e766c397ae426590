"""Scores of several arms made comparable: seeds averaged within an instance, instances paired over all arms.

An instance that any arm lost to broken infrastructure is left out of every arm: never a zero, never unpaired.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.errors import TaskError
from shared.messages.records import UNSCORED, AttemptState, JsonObject, ShardState, digest_of
from shared.tasks.task import ScoreSection


@dataclass(frozen=True)
class Paired:
    """`scores[arm][i]` belongs to `instances[i]`. `lost` states what was left out and why, or is empty."""

    instances: tuple[str, ...]
    scores: dict[str, tuple[float, ...]]
    lost: str = ""

    def differences(self, arm: str, base: str = "base") -> tuple[float, ...]:
        return tuple(a - b for a, b in zip(self.scores[arm], self.scores[base], strict=True))


def instance_key(instance: JsonObject) -> str:
    return str(instance.get("id") or digest_of(instance))


def final_score(attempt: AttemptState, bounds: ScoreSection) -> float | None:
    """What an attempt counts. None: unknown, through no fault of the release. Raises TaskError for a bad
    verifier."""
    if attempt.final is None:
        return bounds.low if attempt.error else None  # a scaffold that failed has given no answer
    if attempt.final.outcome in UNSCORED:
        return None
    score = attempt.final.score
    if not bounds.low <= score <= bounds.high:
        raise TaskError(
            f"score {score} of instance {instance_key(attempt.plan.instance)} is outside the task's bounds",
            f"let verifier.score stay in [{bounds.low}, {bounds.high}], or widen [score] in task.toml",
        )
    return score


def pair(
    states: Iterable[ShardState],
    arms: Sequence[str],
    instances: Sequence[JsonObject],
    bounds: ScoreSection,
    losses: Sequence[str] = (),
) -> Paired:
    """All arms over the instances that every arm has. A seed counts only where every arm has it."""
    units: dict[tuple[str, int], dict[str, float]] = {}
    for attempt in (attempt for state in states for attempt in state.attempts):
        score = final_score(attempt, bounds)
        if score is not None:
            key = (instance_key(attempt.plan.instance), attempt.plan.seed)
            units.setdefault(key, {})[attempt.plan.arm] = score
    whole: dict[str, list[dict[str, float]]] = {}
    for (instance, _), by_arm in sorted(units.items()):
        if all(arm in by_arm for arm in arms):
            whole.setdefault(instance, []).append(by_arm)
    wanted = [instance_key(instance) for instance in instances]
    kept = tuple(key for key in wanted if key in whole)
    scores = {arm: tuple(_mean([unit[arm] for unit in whole[key]]) for key in kept) for arm in arms}
    return Paired(kept, scores, _loss_text(len(wanted) - len(kept), len(wanted), losses))


def _loss_text(missing: int, wanted: int, losses: Sequence[str]) -> str:
    if not missing:
        return ""
    why = "; ".join(sorted(set(losses))) or "an attempt ended without a score"
    return f"{missing} of {wanted} instances left out of every arm ({why})"


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)

"""The advised weight update within the config's bounds, and the attempts that it leaves out. What the user
set stands; what is out of bounds is left to the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from feedback_service.propose.advisor.answer import WeightsPart
from feedback_service.propose.advisor.reading import Read
from shared.config.settings import TrainingSection
from shared.decisions.arms import instance_key
from shared.messages.analysis import Learning
from shared.messages.records import AttemptState, ShardState

KL_RANGE = 10.0  # times the config's weight, either way
MOST_LEFT_OUT = 0.5  # of the attempts
SUPERVISED = "supervised"
N = TypeVar("N", int, float)


def learning_of(
    found: Read, training: TrainingSection, states: Sequence[ShardState], offers_answers: bool
) -> Learning | None:
    """None: nothing of it stands, so the rules decide alone."""
    part = found.weights
    if part is None:
        return None
    learning = Learning(
        algorithm=_algorithm(part, found, training, offers_answers),
        steps=_unless_set(part.steps, training.steps, "steps", found),
        learning_rate=_unless_set(part.learning_rate, training.learning_rate, "learning_rate", found),
        kl_weight=_kl_weight(part, found, training),
        leave_out=_leave_out(part, found, states),
        evidence=part.evidence,
    )
    return None if learning == Learning(evidence=part.evidence) else learning


def _algorithm(part: WeightsPart, found: Read, training: TrainingSection, offers_answers: bool) -> str | None:
    if part.algorithm and training.algorithm != "auto":
        found.drop("weights.algorithm", f"the config pins {training.algorithm}")
        return None
    if part.algorithm == SUPERVISED and not offers_answers:
        found.drop("weights.algorithm", "this task offers no right answers to imitate")
        return None
    return part.algorithm


def _unless_set(value: N | None, pinned: float, name: str, found: Read) -> N | None:
    if value is not None and pinned:
        found.drop(f"weights.{name}", f"the config sets it to {pinned:g}")
        return None
    return value


def _kl_weight(part: WeightsPart, found: Read, training: TrainingSection) -> float | None:
    if part.kl_weight is None:
        return None
    low, high = training.kl_weight / KL_RANGE, training.kl_weight * KL_RANGE
    if not low <= part.kl_weight <= high:
        found.drop("weights.kl_weight", f"not in [{low:g}, {high:g}], ten times the config's either way")
        return None
    return part.kl_weight


def _leave_out(part: WeightsPart, found: Read, states: Sequence[ShardState]) -> tuple[str, ...]:
    labels = set(part.leave_out)
    if not labels:
        return ()
    whole = list(numbered(states))
    out = [one for one in whole if labels & {one[0], one[1]}]
    known = {label for group, attempt, _ in whole for label in (group, attempt)}
    if strange := sorted(labels - known):
        found.drop("weights.leave_out", f"no such attempts: {', '.join(strange[:5])}")
    if len(out) > MOST_LEFT_OUT * len(whole):
        found.drop("weights.leave_out", f"{len(out)} of {len(whole)} attempts; at most half may be left out")
        return ()
    return tuple(sorted(labels & known))


def numbered(states: Sequence[ShardState]) -> list[tuple[str, str, AttemptState]]:
    """(g1, a1, attempt), ...: a group is all attempts on one instance, numbered as they come."""
    groups: dict[str, str] = {}
    rows = []
    attempts = (attempt for state in states for attempt in state.attempts)
    for number, attempt in enumerate(attempts, start=1):
        key = instance_key(attempt.plan.instance)
        rows.append((groups.setdefault(key, f"g{len(groups) + 1}"), f"a{number}", attempt))
    return rows


def without(states: Sequence[ShardState], leave_out: Sequence[str]) -> list[ShardState]:
    """The shards without the attempts that these labels name; their costs stay where they are recorded."""
    labels, rows = set(leave_out), iter(numbered(states))
    kept = []
    for state in states:
        mine = [next(rows) for _ in state.attempts]
        attempts = tuple(attempt for group, name, attempt in mine if not labels & {group, name})
        kept.append(ShardState(attempts=attempts))
    return kept

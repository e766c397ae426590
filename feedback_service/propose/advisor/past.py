"""What each lever brought in earlier generations, and the curves of both: from the history and records, for
the advisor's prompt. Decides nothing. Of the gate it holds means and intervals, never an instance.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from feedback_service.propose.advisor.traces import Before, attempt_score
from shared.decisions.arms import instance_key
from shared.decisions.intervals import t_interval
from shared.ledger.history.state import Generation, RunHistory
from shared.messages.analysis import Analysis
from shared.messages.evidence import GateRecord, Interval
from shared.messages.proposals import TrainingCurves
from shared.messages.records import Arm, ShardState
from shared.store.shards import get_shard
from shared.store.store import Store, get_record

GENERATIONS = 8  # back
ARMS: tuple[Arm, ...] = ("harness", "weights", "both")


@dataclass(frozen=True)
class PastGeneration:
    number: int
    train: Interval | None  # of the live release's train attempts: the harness lever's curve over generations
    gains: dict[str, Interval]  # arm -> its screen score minus base's
    confirmed: tuple[str, Interval] | None  # the arm that was confirmed, and by how much
    decision: str
    why: str
    # Of its training, first and last value:
    curves: dict[str, tuple[float, float]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


def past_generations(history: RunHistory, store: Store) -> list[PastGeneration]:
    decided = [generation for generation in history.generations if generation.decision]
    return [_read(generation, store) for generation in decided[-GENERATIONS:]]


def _read(generation: Generation, store: Store) -> PastGeneration:
    record = get_record(store, generation.evidence, GateRecord) if generation.evidence else None
    weights = generation.weights
    return PastGeneration(
        number=generation.number,
        train=_interval(_train_scores(generation, store)),
        gains={arm: gain for arm in ARMS if record and (gain := _gain(record, arm))},
        confirmed=(record.chosen, record.gain) if record and record.gain else None,
        decision=f"promoted {generation.arm}" if generation.arm else generation.decision,
        why=generation.why,
        curves=_ends(store, weights.curves) if weights and weights.curves else {},
        metrics=weights.metrics if weights else {},
    )


def _gain(record: GateRecord, arm: Arm) -> Interval | None:
    if not {"base", arm} <= set(record.screen_scores):
        return None
    pairs = zip(record.screen_scores[arm], record.screen_scores["base"], strict=True)
    return _interval([mine - base for mine, base in pairs])


def _interval(values: Sequence[float]) -> Interval | None:
    return t_interval(values, -math.inf, math.inf) if len(values) > 1 else None


def _ends(store: Store, curves: str) -> dict[str, tuple[float, float]]:
    series = get_record(store, curves, TrainingCurves).series
    return {name: (values[0], values[-1]) for name, values in series.items() if values}


def _states(generation: Generation, store: Store) -> list[ShardState]:
    train = generation.train
    return [get_shard(store, digest) for digest in train.results] if train else []


def _train_scores(generation: Generation, store: Store) -> list[float]:
    return list(_by_instance(_states(generation, store)).values())


def _by_instance(states: Sequence[ShardState]) -> dict[str, float]:
    """The mean score of each instance's attempts."""
    scores: defaultdict[str, list[float]] = defaultdict(list)
    for state in states:
        for attempt in state.attempts:
            score = attempt_score(attempt)
            if score is not None:
                scores[instance_key(attempt.plan.instance)].append(score)
    return {key: math.fsum(values) / len(values) for key, values in scores.items()}


def before(history: RunHistory, store: Store, number: int, not_under: str = "") -> dict[str, Before]:
    """By train instance: its newest earlier scores, of another harness than `not_under`. Only where a later
    generation drew it again does it tell anything."""
    found: dict[str, Before] = {}
    earlier = [generation for generation in history.generations if generation.number < number]
    for generation in earlier[-GENERATIONS:]:
        if generation.release is None or generation.release.harness == not_under:
            continue
        for key, score in _by_instance(_states(generation, store)).items():
            found[key] = Before(generation.number, score)
    return found


def last_notes(history: RunHistory, store: Store) -> str:
    """What the advisor last noted for itself: its memory across generations (SkillOpt's meta skill)."""
    for generation in reversed(history.generations):
        if generation.analysis:
            drafts = get_record(store, generation.analysis, Analysis).drafts
            notes = next((draft.notes for draft in drafts if draft.notes), "")
            if notes:
                return notes
    return ""

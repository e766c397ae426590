"""The spread of a score's difference on one instance, from earlier runs of the same task and settings: what
the foresight of a gate's power would else have to guess. Nothing is stored anew: it is read from the runs.

Two sources. Pairs of confirmations, about each one's mean: what the next confirmation will see. And pairs of
equals: one release, one instance, two seeds, without a parent (train attempts). Their true gain is 0, and
what is left is the luck of the reply and of the clock. Pairs on one seed are no use: equal arms then draw
equal replies, while a release with another prompt has luck of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ratchet.runs.earlier.reading import OtherRun, Others
from shared.config.settings import RunConfig
from shared.decisions.arms import final_score, instance_key
from shared.errors import RatchetError
from shared.messages.evidence import GateRecord
from shared.messages.records import AttemptState
from shared.store.shards import get_shard
from shared.store.store import get_record
from shared.tasks.task import ScoreSection, Task

FEWEST = 16  # squares; with fewer, a spread is off by a fifth or more
ENOUGH = 1024
WITHIN_S = 3.0


@dataclass(frozen=True)
class Measured:
    """`squares`: of so many differences, less one for each mean that was taken off."""

    source: str  # "confirmations" or "equals"
    spread: float
    squares: int
    runs: int


def pooled(before: Others, config: RunConfig, task: Task, within_s: float = WITHIN_S) -> Measured | None:
    """That of confirmations, or where there are too few, of equals. None: too few of both, or no spread."""
    alike = [run for run in before.runs if _settings(run.config) == _settings(config)]
    bounds, until_s = task.manifest.score, time.monotonic() + within_s
    return _measured("confirmations", [_confirmed(run) for run in alike]) or _measured(
        "equals", [_equals(run, bounds, until_s) for run in alike]
    )


def _settings(config: RunConfig) -> object:
    """What the spread depends on: who answers, and within which limits."""
    model = config.model
    return (model.name, model.base, dict(config.attempt))


def spread_text(found: Measured) -> str:
    if found.source == "confirmations":
        kind = "differences of confirmations"
    else:
        kind = "pairs of attempts of one release on one instance, which gain nothing over each other"
    runs = f"{found.runs} run{'s' * (found.runs > 1)} of this folder"
    return f"That spread was measured on {found.squares} {kind}, in {runs}."


def _measured(source: str, of_runs: list[list[tuple[float, int]]]) -> Measured | None:
    """`of_runs`: sums of squares, each with its degrees of freedom."""
    found = [part for parts in of_runs for part in parts]
    squares = sum(count for _, count in found)
    if squares < FEWEST:
        return None
    spread = math.sqrt(math.fsum(total for total, _ in found) / squares)
    return Measured(source, spread, squares, sum(map(bool, of_runs))) if spread > 0 else None


def _confirmed(run: OtherRun) -> list[tuple[float, int]]:
    parts = []
    try:
        for generation in run.history().generations:
            record = get_record(run.store, generation.evidence, GateRecord) if generation.evidence else None
            if record is not None and len(record.differences) > 1:
                mean = math.fsum(record.differences) / len(record.differences)
                squares = math.fsum((one - mean) ** 2 for one in record.differences)
                parts.append((squares, len(record.differences) - 1))
    except RatchetError:
        return []
    return parts


def _equals(run: OtherRun, bounds: ScoreSection, until_s: float) -> list[tuple[float, int]]:
    found: list[float] = []
    try:
        for attempts in _train_shards(run):
            if time.monotonic() > until_s or len(found) >= ENOUGH:
                break
            found += _pairs(attempts, bounds)
    except RatchetError:
        return []
    return [(math.fsum(one**2 for one in found), len(found))] if found else []


def _train_shards(run: OtherRun) -> Iterator[tuple[AttemptState, ...]]:
    for generation in run.history().generations:
        if train := generation.train:
            yield from (get_shard(run.store, digest).attempts for digest in train.results)


def _pairs(attempts: Iterable[AttemptState], bounds: ScoreSection) -> list[float]:
    """Differences of two attempts of one release on one instance, each attempt used once."""
    scores: dict[tuple[str, str], list[float]] = {}
    for attempt in attempts:
        plan = attempt.plan
        score = final_score(attempt, bounds)
        if score is not None and plan.parent is None and not plan.knobs:
            scores.setdefault((plan.release.digest, instance_key(plan.instance)), []).append(score)
    return [
        second - first
        for values in scores.values()
        for first, second in zip(values[::2], values[1::2], strict=False)
    ]

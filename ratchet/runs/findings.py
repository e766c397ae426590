"""Findings in a run's stored traces: train scores by generation, and the best candidate.

Train rollouts alone are read here: gate and test traces are evidence, and nothing is chosen by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.ledger.history.state import Generation, RunHistory
from shared.messages.records import AttemptState, Candidate, Evaluation, JsonObject
from shared.store.shards import get_shard
from shared.store.store import Store


@dataclass(frozen=True)
class Best:
    candidate: Candidate
    evaluation: Evaluation
    instance: JsonObject
    generation: int


@dataclass
class Findings:
    scores: dict[int, list[float]] = field(default_factory=dict)  # of tried candidates, by generation
    curve: list[float] = field(default_factory=list)  # the same, in order of evaluation
    best: Best | None = None


def best_contents(history: RunHistory, store: Store, most: int) -> list[str]:
    """The different train candidates that were right, best first: one lucky evaluation is not yet proof."""
    best: dict[str, float] = {}
    for generation in history.generations:
        for attempt in _train_attempts(generation, store):
            for candidate, evaluation in attempt.tried or answered(attempt):
                if evaluation.outcome == "ok":
                    known = best.get(candidate.content, float("-inf"))
                    best[candidate.content] = max(evaluation.score, known)
    return sorted(best, key=lambda content: -best[content])[:most]


def read(history: RunHistory, store: Store) -> Findings:
    """All train candidates of a run: what was tried, else what was answered. The best is the best answer, by
    its final evaluation."""
    found = Findings()
    for generation in history.generations:
        scores = found.scores.setdefault(generation.number, [])
        for attempt in _train_attempts(generation, store):
            scores += [evaluation.score for _, evaluation in attempt.tried or answered(attempt)]
            # An answer was chosen by its trial, and its final evaluation is independent: less luck.
            for candidate, evaluation in answered(attempt) or attempt.tried:
                if found.best is None or evaluation.score > found.best.evaluation.score:
                    found.best = Best(candidate, evaluation, attempt.plan.instance, generation.number)
        found.curve += scores
    return found


def _train_attempts(generation: Generation, store: Store) -> Iterator[AttemptState]:
    for digest in generation.train.results if generation.train else ():
        yield from get_shard(store, digest).attempts


def answered(attempt: AttemptState) -> list[tuple[Candidate, Evaluation]]:
    """The answer with its final evaluation: all that there is where a harness tries nothing beforehand."""
    if attempt.answer is None or attempt.final is None:
        return []
    return [(attempt.answer, attempt.final)]


def describe(best: Best | None) -> str:
    """The best candidate in one line."""
    if best is None:
        return "none"
    speedup = best.evaluation.metrics.get("speedup")
    value = f"{speedup:.1f} times the naive reference" if speedup else f"score {best.evaluation.score:.3f}"
    return f"{value}, generation {best.generation}, instance {best.instance.get('id', '?')}"

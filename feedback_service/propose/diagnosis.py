"""A diagnosis of the train rollouts: failures by kind, the shape of the rewards, diversity, cost, the best
attempts.

Reads what train attempts may show; it decides nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from feedback_service.propose.objective import density, group_size
from shared.decisions.endings import REFUSED, WORDS, ending_of
from shared.decisions.evidence.ease import eases_of
from shared.messages.records import (
    UNSCORED,
    AttemptState,
    Candidate,
    Cost,
    Evaluation,
    JsonObject,
    Sample,
    ShardState,
    digest_of,
    public_view,
)
from shared.tasks.task import ScoreSection

BEST_KEPT = 8


@dataclass(frozen=True)
class Scored:
    """One model reply with what its candidate scored: what a weight update and an exemplar are made of."""

    instance: JsonObject
    reply: str
    content: str
    score: float
    outcome: str
    ease: float = 0.0  # of the instance: shared/decisions/evidence/ease.py

    @property
    def worth(self) -> float:
        """What the reply would have scored on an instance of middling ease."""
        return self.score - self.ease


@dataclass(frozen=True)
class Failure:
    kind: str  # an Outcome, how the reply ended where that explains it, or "scaffold"
    count: int
    example: str


@dataclass(frozen=True)
class RewardShape:
    """Scores as shares of the task's range, 0 the lowest."""

    n: int
    mean: float
    sd: float
    skewness: float
    failing: float  # share at the lowest score
    at_top: float  # share at the highest


@dataclass(frozen=True)
class Diagnosis:
    attempts: int
    scored: tuple[Scored, ...]
    failures: tuple[Failure, ...]  # most frequent first
    shape: RewardShape
    distinct: float  # share of different candidates among all; 1.0: no two alike
    cost: Cost
    lost_shards: int = 0
    group: float = 0.0  # replies that started alike, on average
    dense: float = 0.0  # share of attempts that were scored at more than one turn
    trials: bool = True  # whether an attempt may try candidates before it answers
    earlier: tuple[tuple[Scored, ...], ...] = ()  # of each earlier generation, for what they say of fields

    @property
    def best(self) -> tuple[Scored, ...]:
        """The replies of most worth, different ones, best first; none that scored lowest, which on a hard
        instance may be worth something, but is wrong where a score is right or wrong."""
        lowest = min((item.score for item in self.scored), default=0.0)
        above = [item for item in self.scored if item.score > lowest] or self.scored
        by_content: dict[str, Scored] = {}
        for item in sorted(above, key=lambda item: -item.worth):
            by_content.setdefault(item.content, item)
        return tuple(by_content.values())[:BEST_KEPT]

    @property
    def failing(self) -> float:
        """Share of candidates and attempts that came to nothing."""
        total = len(self.scored) + sum(f.count for f in self.failures if f.kind in ("scaffold", REFUSED))
        return sum(failure.count for failure in self.failures) / total if total else 0.0

    def summary(self) -> str:
        worst = f", most often {self.failures[0].kind} ({self.failures[0].count})" if self.failures else ""
        return (
            f"{self.attempts} attempts, {len(self.scored)} candidates, "
            f"mean {self.shape.mean:.2f} of the score's range, "
            f"{self.failing:.0%} failing{worst}, {self.distinct:.0%} distinct"
        )


def diagnose(states: Sequence[ShardState], bounds: ScoreSection, lost_shards: int = 0) -> Diagnosis:
    attempts = [attempt for state in states for attempt in state.attempts]
    scored = scored_of(states)
    return Diagnosis(
        attempts=len(attempts),
        scored=scored,
        failures=_failures(attempts),
        shape=reward_shape([item.score for item in scored], bounds),
        distinct=len({digest_of(item.content) for item in scored}) / len(scored) if scored else 0.0,
        cost=sum((state.cost for state in states), Cost()),
        lost_shards=lost_shards,
        group=group_size(attempts),
        dense=density(attempts),
        trials=any(attempt.tried for attempt in attempts),
    )


def scored_of(states: Iterable[ShardState]) -> tuple[Scored, ...]:
    attempts = [attempt for state in states for attempt in state.attempts]
    eases = eases_of(attempts, lambda attempt: [result.score for _, result in scored_replies(attempt)])
    return tuple(
        Scored(
            public_view(attempt.plan.instance),
            _reply(candidate, attempt.replies),
            candidate.content,
            result.score,
            result.outcome,
            eases[attempt.plan.group],
        )
        for attempt in attempts
        for candidate, result in scored_replies(attempt)
    )


def scored_replies(attempt: AttemptState) -> list[tuple[Candidate, Evaluation]]:
    """Each candidate with its public score; where nothing was tried, the answer's with the final one."""
    pairs: list[tuple[Candidate, Evaluation]] = list(attempt.tried)
    if not pairs and attempt.answer is not None and attempt.final is not None:
        pairs = [(attempt.answer, attempt.final)]
    return [(candidate, result) for candidate, result in pairs if result.outcome not in UNSCORED]


def _reply(candidate: Candidate, replies: Sequence[Sample]) -> str:
    """The text that the candidate was made from; its own content where it names no sample."""
    index = candidate.samples[-1] if candidate.samples else -1
    return replies[index].text if 0 <= index < len(replies) else candidate.content


def reward_shape(scores: Sequence[float], bounds: ScoreSection) -> RewardShape:
    if not scores:
        return RewardShape(n=0, mean=0.0, sd=0.0, skewness=0.0, failing=0.0, at_top=0.0)
    shares = [(score - bounds.low) / (bounds.high - bounds.low) for score in scores]
    n, mean = len(shares), math.fsum(shares) / len(shares)
    variance = math.fsum((share - mean) ** 2 for share in shares) / n
    sd = math.sqrt(variance)
    skewness = math.fsum((share - mean) ** 3 for share in shares) / n / sd**3 if sd > 1e-9 else 0.0
    return RewardShape(
        n=n,
        mean=mean,
        sd=sd,
        skewness=skewness,
        failing=sum(share <= 0 for share in shares) / n,
        at_top=sum(share >= 1 for share in shares) / n,
    )


def _failures(attempts: Iterable[AttemptState]) -> tuple[Failure, ...]:
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for attempt in attempts:
        if attempt.error:
            refused = attempt.final is not None and attempt.final.outcome == REFUSED
            kind = REFUSED if refused else "scaffold"
            counts[kind] += 1
            examples.setdefault(kind, attempt.error)
        for candidate, result in attempt.tried or _final(attempt):
            if result.outcome != "ok" and result.outcome not in UNSCORED:
                kind = ending_of(attempt, candidate.samples) or result.outcome
                counts[kind] += 1
                examples.setdefault(kind, WORDS.get(kind, result.detail))
    return tuple(Failure(kind, count, examples[kind]) for kind, count in counts.most_common())


def _final(attempt: AttemptState) -> tuple[tuple[Candidate, Evaluation], ...]:
    return ((attempt.answer, attempt.final),) if attempt.final and attempt.answer else ()

"""The choice of the learning algorithm, from the shape of the rewards and from what the task offers. SIA's
table (section 7.3 of the paper) with thresholds written down; docs/weights.md has it as a table, and the
reasons.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from shared.messages.records import AttemptState

HARDLY_ANY = 0.02  # mean reward, as a share of the range, that counts as none
SKEWED = 1.0  # skewness above which one outstanding sample is worth more than many good ones
DENSE = 0.5  # share of attempts that were scored at more than one turn
GROUP = 4.0  # samples that started alike, for their mean to be a baseline


@dataclass(frozen=True)
class Evidence:
    """What the choice rests on. Rewards are shares of the score's range, 0 the lowest."""

    replies: int  # that were scored
    mean: float
    sd: float
    skewness: float
    zero: float  # share at the lowest score
    group: float = 1.0  # replies that started from one instance and one parent, on average
    dense: float = 0.0  # share of attempts with scores at more than one turn
    demonstrations: int = 0  # right replies that the verifier offers
    ranks_only: bool = False  # the task's scores rank, and do not measure

    def recorded(self) -> dict[str, float]:
        return {name: float(value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Choice:
    algorithm: str
    why: str


def choose(evidence: Evidence) -> Choice | str:
    """The first row of the table that holds, or why nothing can be learned."""
    e = evidence
    if e.demonstrations:
        return Choice("supervised", f"the verifier offers right answers, {e.demonstrations} of them")
    if not e.replies:
        return "no train reply was scored: there is nothing to learn from"
    if e.sd < 1e-9:
        return f"all {e.replies} train replies scored alike: nothing distinguishes good from bad"
    shape = f"mean {e.mean:.2f}, sd {e.sd:.2f}, skewness {e.skewness:+.1f}, {e.zero:.0%} at zero"
    if e.mean < HARDLY_ANY:
        return Choice(
            "best_of_n", f"hardly any reward yet (mean {e.mean:.3f} of the range), so clone the few best"
        )
    if e.ranks_only and e.group > 1:
        return Choice("dpo", f"scores rank and do not measure ({e.group:.1f} replies a group to pair)")
    if e.skewness > SKEWED:
        return Choice("entropic", f"rewards are right-skewed ({shape})")
    if e.dense >= DENSE:
        return Choice("ppo", f"{e.dense:.0%} of the attempts are scored turn by turn ({shape})")
    if e.group >= GROUP:
        return Choice("grpo", f"{e.group:.1f} replies a group give a baseline ({shape})")
    return Choice("reinforce", f"only {e.group:.1f} replies a group, so each counts ({shape})")


def group_size(attempts: Iterable[AttemptState]) -> float:
    """Replies that started from the same instance and the same parent, on average over such groups."""
    counts: Counter[str] = Counter()
    for attempt in attempts:
        counts[attempt.plan.group] += len(attempt.replies)
    filled = [count for count in counts.values() if count]
    return sum(filled) / len(filled) if filled else 0.0


def density(attempts: Iterable[AttemptState]) -> float:
    """Share of the attempts that were scored at more than one turn."""
    scored = [sum(bool(turn.results) for turn in attempt.turns) for attempt in attempts]
    return sum(turns > 1 for turns in scored) / len(scored) if scored else 0.0

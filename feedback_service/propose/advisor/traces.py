"""The train attempts that an advisor reads in full: the best, the worst, those that got worse, and those far
from the others on their instance.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from feedback_service.propose.advisor.learning import numbered
from shared.decisions.arms import instance_key
from shared.messages.records import UNSCORED, AttemptState, ShardState

EACH = 2  # traces of a kind
NOTABLE = 0.1  # of the range of the scores that are there


@dataclass(frozen=True)
class Trace:
    """`label` and `group` as the prompt numbers them. `score` None: nothing of it was scored."""

    label: str
    group: str
    attempt: AttemptState
    score: float | None
    why: str = ""


@dataclass(frozen=True)
class Before:
    """What an instance's attempts scored in an earlier generation, on average."""

    generation: int
    score: float


def attempt_score(attempt: AttemptState) -> float | None:
    if attempt.final is not None and attempt.final.outcome not in UNSCORED:
        return attempt.final.score
    return max((r.score for _, r in attempt.tried if r.outcome not in UNSCORED), default=None)


def all_traces(states: Sequence[ShardState]) -> list[Trace]:
    return [Trace(name, group, attempt, attempt_score(attempt)) for group, name, attempt in numbered(states)]


def chosen_traces(traces: Sequence[Trace], before: Mapping[str, Before]) -> list[Trace]:
    """Each attempt once, for the first reason that it was chosen for."""
    scored = [trace for trace in traces if trace.score is not None]
    ranked = sorted(scored, key=lambda trace: -(trace.score or 0.0))
    least = NOTABLE * (_range(scored) or math.inf)
    chosen: dict[str, Trace] = {}
    for candidates in (
        [(trace, "best") for trace in ranked],
        [(trace, "worst") for trace in reversed(ranked)],
        _regressed(scored, before, least),
        _surprising(scored, least),
        [(trace, "came to nothing") for trace in traces if trace.score is None],
    ):
        fresh = [(trace, text) for trace, text in candidates if trace.label not in chosen]
        for trace, text in fresh[:EACH]:
            chosen[trace.label] = replace(trace, why=text)
    return list(chosen.values())


def _range(scored: Sequence[Trace]) -> float:
    scores = [trace.score for trace in scored if trace.score is not None]
    return max(scores, default=0.0) - min(scores, default=0.0)


def _regressed(
    scored: Sequence[Trace], before: Mapping[str, Before], least: float
) -> list[tuple[Trace, str]]:
    """Below what the same instance, or the attempt that it started from, had scored; the deepest falls
    first."""
    falls = []
    for trace in scored:
        assert trace.score is not None
        past = before.get(instance_key(trace.attempt.plan.instance))
        parent = trace.attempt.plan.parent
        if past and past.score - trace.score >= least:
            why = f"regressed: {past.score:.3f} on the same instance in generation {past.generation}"
            falls.append((past.score - trace.score, trace, why))
        elif parent and parent.score - trace.score >= least:
            fall = parent.score - trace.score
            falls.append((fall, trace, f"regressed: it started from a {parent.score:.3f}"))
    return [(trace, why) for _, trace, why in sorted(falls, key=lambda fall: -fall[0])]


def _surprising(scored: Sequence[Trace], least: float) -> list[tuple[Trace, str]]:
    """Far from the mean of the other attempts on the same instance; the farthest first."""
    groups: defaultdict[str, list[Trace]] = defaultdict(list)
    for trace in scored:
        groups[trace.group].append(trace)
    far = []
    for trace in scored:
        others = [other.score or 0.0 for other in groups[trace.group] if other is not trace]
        if others:
            mean = math.fsum(others) / len(others)
            distance = abs((trace.score or 0.0) - mean)
            if distance >= least:
                far.append((distance, trace, f"surprising: the others of {trace.group} have {mean:.3f}"))
    return [(trace, why) for _, trace, why in sorted(far, key=lambda item: -item[0])]

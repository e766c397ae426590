"""Guards of a release after its promotion: a sequential test of what it does while it is live.

In each later generation it is the base arm of screen and confirmation, so its failures and its reply tokens
are still measured. The older release does not run any more: the limit is its mean as measured when it was
replaced, plus the rise (or times the ratio) that the config allows. Of a release whose mean is at or below
the limit, evidence ever reaches 1/alpha with probability alpha at most, however often one looks (a bettor's
wealth, betting.py). A loss in score or on a group of instances has no such guard: it would need the older
release beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.config.settings import GateSection
from shared.decisions.evidence.betting import e_value
from shared.decisions.rails import tokens_of
from shared.messages.evidence import Guard
from shared.messages.records import UNSCORED, AttemptState
from shared.tasks.task import AttemptSection

FAILURES = "share of failing attempts"
TOKENS = "reply tokens an attempt"


@dataclass(frozen=True)
class Limit:
    """`mean`: the largest that is allowed, of values from 0 to `most`."""

    name: str
    mean: float
    most: float


def watch(
    gate: GateSection,
    attempt: AttemptSection,
    before: Iterable[AttemptState],
    since: Iterable[AttemptState],
) -> tuple[Guard, ...]:
    """`before`: the older release's attempts in the confirmation that replaced it; `since`: the live one's,
    in order. Each guard has its part of gate.guard_alpha."""
    older, live = _judged(before), _judged(since)
    if not gate.guard_alpha or not older or not live:
        return ()
    limits = [Limit(FAILURES, _mean([_failed(one) for one in older]) + gate.max_failure_rise, 1.0)]
    if gate.max_token_ratio:
        most = float(attempt.requests * attempt.max_tokens)
        limits.append(Limit(TOKENS, _mean([tokens_of(one) for one in older]) * gate.max_token_ratio, most))
    limits = [limit for limit in limits if 0 < limit.mean < limit.most]  # beyond, nothing could break it
    value_of = {FAILURES: _failed, TOKENS: tokens_of}
    return tuple(
        _guard(
            limit,
            [min(value_of[limit.name](one), limit.most) for one in live],
            gate.guard_alpha / len(limits),
        )
        for limit in limits
    )


def _guard(limit: Limit, values: Sequence[float], alpha: float) -> Guard:
    excess = [value - limit.mean for value in values]
    bound = max(limit.mean, limit.most - limit.mean)
    return Guard(
        name=limit.name,
        limit=limit.mean,
        mean=_mean(values),
        attempts=len(values),
        e_value=e_value(excess, bound, 0.0),
        alpha=alpha,
    )


def tripped(guards: Iterable[Guard]) -> str:
    """Which guards have tripped, in words; empty: none."""
    return "; ".join(
        f"{guard.name}: {guard.mean:.3g} over {guard.attempts} attempts while it was live, at most "
        f"{guard.limit:.3g} allowed, e-value {guard.e_value:.3g} >= {1 / guard.alpha:.3g} "
        f"(alpha {guard.alpha:g})"
        for guard in guards
        if guard.e_value >= 1 / guard.alpha
    )


def _judged(attempts: Iterable[AttemptState]) -> list[AttemptState]:
    """Without those that were lost, or could not be timed here."""
    return [one for one in attempts if one.error or (one.final and one.final.outcome not in UNSCORED)]


def _failed(attempt: AttemptState) -> float:
    return float(bool(attempt.error) or (attempt.final is not None and attempt.final.outcome != "ok"))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)

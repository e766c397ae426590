"""A run's alpha when its limit of generations was raised: each stretch of generations has a share of its own.

e-LOND's weights sum to 1 over the generations that a run may have, which is fixed beforehand. The generations
that a k-th raise adds share alpha / 2^k among them, as a run of that many would: the weights of all sum to
less than 2, so the expected share of false promotions stays below 2 alpha, however often a run is extended.
(The proof asks of a weight that it is fixed before its test's data are seen, and they are fresh.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Stretch:
    """Generations after `start`, up to `end`; `share` of alpha is theirs."""

    start: int
    end: int
    share: float


def stretch_of(number: int, generations: int, limits: Sequence[tuple[int, int]]) -> Stretch:
    """That of generation `number`. `limits`: before and after each raise; `generations`: now."""
    first = limits[0][0] if limits else generations
    bounds = [(0, first), *limits]
    for raises, (start, end) in enumerate(bounds):
        if number <= end:
            return Stretch(start, end, 0.5**raises)
    start, end = bounds[-1]
    return Stretch(start, end, 0.5 ** (len(bounds) - 1))


def claimed(alpha: float, limits: Sequence[tuple[int, int]]) -> float:
    """The bound of the expected share of false promotions among all of the run's."""
    return alpha * sum(0.5**raises for raises in range(len(limits) + 1))

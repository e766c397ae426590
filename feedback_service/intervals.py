"""Means with 95 % intervals over instances (Student's t, cut at the score's bounds). No decision rests on
them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import stdtrit

from shared.records import Interval

LEVEL = 0.95


def t_interval(values: Sequence[float], low: float, high: float) -> Interval:
    """One value an instance, seeds averaged before. A single value says nothing about spread: the whole
    range."""
    if not values:
        raise ValueError("an interval of no values")
    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Interval(mean=mean, low=low, high=high, n=1)
    half = float(stdtrit(n - 1, 0.5 + LEVEL / 2)) * standard_error(values)
    return Interval(mean=mean, low=max(low, mean - half), high=min(high, mean + half), n=n)


def standard_error(values: Sequence[float]) -> float:
    n, mean = len(values), math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)

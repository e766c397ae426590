"""Means with 95 % intervals over instances (Student's t, cut at the score's bounds). No decision rests on
them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from shared.messages.evidence import Interval
from shared.messages.records import JsonObject

LEVEL = 0.95


def t_interval(values: Sequence[float], low: float, high: float) -> Interval:
    """One value an instance, seeds averaged before. A single value has no spread: the whole range."""
    if not values:
        raise ValueError("an interval of no values")
    from scipy.special import stdtrit

    n, mean = len(values), math.fsum(values) / len(values)
    if n == 1:
        return Interval(mean=mean, low=low, high=high, n=1)
    half = float(stdtrit(n - 1, 0.5 + LEVEL / 2)) * standard_error(values)
    return Interval(mean=mean, low=max(low, mean - half), high=min(high, mean + half), n=n)


def standard_error(values: Sequence[float]) -> float:
    n, mean = len(values), math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)


def interval_json(values: Sequence[float]) -> JsonObject:
    """{mean, low, high, n} of values without bounds; null where there are too few to say."""
    if len(values) < 2:
        return {"mean": values[0] if values else None, "low": None, "high": None, "n": len(values)}
    return t_interval(values, -math.inf, math.inf).model_dump(mode="json")


def metric_intervals(rows: Sequence[Mapping[str, float]]) -> JsonObject:
    """An interval for every metric that any row has, over the rows that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: interval_json([row[name] for row in rows if name in row]) for name in names}

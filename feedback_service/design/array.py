"""The first rung of a design: rows that each move about half of the knobs, so that every knob is seen moved
and not moved equally often, and nearly independently of the others; and which row runs on which instances.

Two-level screening designs (Plackett and Burman, 1946) with the moved level taken in turn from all that there
are. Rows are drawn at random, and of many draws the one with the least correlated knobs is taken: that works
for any number of knobs and rows.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from shared.harness.bundle import KnobValue

DRAWS = 200
MOST_ROWS = 32
RUNS_A_ROW = 2

Row = dict[str, KnobValue]  # the moved knobs


def rows(others: Mapping[str, Sequence[KnobValue]], attempts: int, seed: int) -> list[Row]:
    """Different rows, none of them empty. Fewer than a design of these attempts could hold, where there are
    no more."""
    count = min(MOST_ROWS, max(1, attempts // RUNS_A_ROW))
    singles = [{name: value} for name, values in others.items() for value in values]
    if len(others) < 2:
        return singles[:count]
    rng = random.Random(seed)
    draws = (_draw(others, count, rng) for _ in range(DRAWS))
    best = min(draws, key=lambda drawn: (_correlated(drawn, list(others)), -len(_distinct(drawn))))
    return _distinct(best)


def _draw(others: Mapping[str, Sequence[KnobValue]], count: int, rng: random.Random) -> list[Row]:
    drawn: list[Row] = [{} for _ in range(count)]
    for name, values in others.items():
        moved = rng.sample(range(count), (count + rng.randrange(2)) // 2)
        turn = rng.sample(list(values), len(values))
        for place, row in enumerate(moved):
            drawn[row][name] = turn[place % len(turn)]
    return drawn


def _correlated(drawn: Sequence[Row], names: Sequence[str]) -> int:
    """Sum over pairs of knobs of the squared product of their columns (moved: 1, not moved: -1); an empty or
    a repeated row counts as much as a pair of equal columns."""
    columns = [[1 if name in row else -1 for row in drawn] for name in names]
    total = 0
    for first, one in enumerate(columns):
        for other in columns[:first]:
            total += sum(a * b for a, b in zip(one, other, strict=True)) ** 2
    return total + (len(drawn) - len(_distinct(drawn))) * len(drawn) ** 2


def _distinct(drawn: Sequence[Row]) -> list[Row]:
    return [row for place, row in enumerate(drawn) if row and row not in drawn[:place]]


def spread(count: int, attempts: int, instances: int, seed: int) -> list[tuple[int, ...]]:
    """For each of `count` rows the instances (by number) that it runs on: `attempts` in all at most, every
    instance and every row about equally often, no row twice on an instance."""
    order = random.Random(seed).sample(range(count), count)
    laps = min(count, -(-attempts // instances))
    step = max(1, count // laps)
    runs: list[list[int]] = [[] for _ in range(count)]
    for slot in range(min(attempts, instances * laps)):
        lap, instance = divmod(slot, instances)
        runs[order[(instance + lap * step) % count]].append(instance)
    return [tuple(sorted(run)) for run in runs]

"""What a confirmation can find, said before it starts: the gain that it finds four times in five with its
settings, and the pairs that a wanted gain needs. By simulation with fixed random numbers, so that the same
settings always get the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from shared.decisions.claims import CLAIMS, Terms
from shared.decisions.discordant import EARLY, last_line
from shared.decisions.graded import passed_in
from shared.decisions.t_evidence import Array

WANTED = 0.8  # of true gains are to be found
RUNS = {
    "graded": 500,
    "betting": 200,
    "right_or_wrong": 2000,
}  # simulated; a share of 0.8 is then known to 0.03
MOST_PAIRS = 2048
SPREADS = {  # of the differences, as shares of the score's range
    "graded": (0.05, 0.1, 0.2, 0.4),
    "betting": (0.05, 0.1, 0.2, 0.4),
    "right_or_wrong": (0.3, 0.5, 0.7),  # 9, 25 and 49 % of the answers differ
}
STEPS = 7  # halvings: a gain to 1/128 of the bound


@dataclass(frozen=True)
class Findable:
    """A true gain of `gain` (in units of the score; None: none can be found) is promoted in WANTED of
    runs."""

    spread: float
    gain: float | None


def findable(test: str, terms: Terms) -> list[Findable]:
    """For a few spreads that differences may have: how small a gain the confirmation still finds."""
    spreads = [share * terms.bound for share in SPREADS[test]]
    return [Findable(spread, smallest_gain(test, spread, terms)) for spread in spreads]


def smallest_gain(test: str, spread: float, terms: Terms) -> float | None:
    low, high = terms.min_effect, terms.bound
    if power(test, high, spread, terms) < WANTED:
        return None
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if power(test, middle, spread, terms) >= WANTED else (middle, high)
    return high


def pairs_needed(test: str, gain: float, spread: float, terms: Terms) -> int | None:
    """The smallest `max_pairs` that finds this gain. None: MOST_PAIRS do not suffice."""

    def enough(pairs: int) -> bool:
        changed = Terms(terms.alpha, terms.min_effect, terms.bound, pairs)
        return power(test, gain, spread, changed) >= WANTED

    high = 8
    while not enough(high):
        high *= 2
        if high > MOST_PAIRS:
            return None
    low = high // 2
    while high - low > max(1, high // 32):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def power(test: str, gain: float, spread: float, terms: Terms) -> float:
    """Share of confirmations that promote a true gain; for right-or-wrong scores at the last look alone."""
    if test == "right_or_wrong":
        return _power_of_answers(gain / terms.bound, spread / terms.bound, terms)
    room = terms.bound - abs(gain)  # cut evenly, so that the mean stays
    differences = gain + np.clip(spread * _noise(RUNS[test], terms.max_pairs), -room, room)
    if test == "graded":
        return float(passed_in(differences, terms.alpha, terms.min_effect, terms.bound)[:, -1].mean())
    return float(np.mean([CLAIMS[test].look(row.tolist(), terms).passed for row in differences]))


def _power_of_answers(gain: float, spread: float, terms: Terms) -> float:
    """Differences are -1, 0 or 1, with this spread where that can be had with this mean."""
    differing = min(1.0, max(abs(gain), spread**2 + gain**2))
    least = terms.min_effect / terms.bound
    forfeited = least / (1 + least)
    won, lost = ((1 - forfeited) * (differing + sign * gain) / 2 for sign in (1, -1))
    parts = [won, lost + forfeited, max(0.0, 1 - won - lost - forfeited)]
    drawn = np.random.default_rng(0).multinomial(terms.max_pairs, parts, RUNS["right_or_wrong"])
    lines = [last_line(count, terms.alpha * (1 - EARLY)) for count in range(terms.max_pairs + 1)]
    return float(np.mean(drawn[:, 0] >= np.array(lines)[drawn[:, 0] + drawn[:, 1]]))


@cache
def _noise(runs: int, pairs: int) -> Array:
    return np.random.default_rng(0).standard_normal((runs, pairs))

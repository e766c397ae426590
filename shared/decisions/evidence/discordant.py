"""The test for right-or-wrong scores: whether the candidate wins more than half of the pairs that differ.

A sequential McNemar test. Given which pairs differ, each is won with probability 1/2 at most where nothing is
gained, so the chance of any path of wins is known exactly, however many pairs differ and when. Looks are
taken after every pair; alpha is spent over them by a fixed rule, nearly all of it at the last (Lan & DeMets,
Biometrika 1983), so that at `max_pairs` it asks hardly more than McNemar's exact test would.

Scores need not be right or wrong: a fraction counts as a win with that probability, and a minimum effect
turns pairs into losses at random (a margin, which is below 0, into wins), by numbers fixed beforehand. So it
holds for every law of the differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.messages.records import derive_seed

Array = NDArray[Any]
EARLY = 0.02  # of alpha, for all looks before the last; of it (n / max_pairs)^2 by pair n


@dataclass(frozen=True)
class Tally:
    """`line`: wins that the last look asked for; None: so few pairs differ that no number would do."""

    won: int
    lost: int
    line: int | None
    passed: bool


def tally(
    differences: Sequence[float], alpha: float, min_effect: float, bound: float, max_pairs: int
) -> Tally:
    """Raises ValueError for a difference outside its bounds."""
    outcomes = [outcome(i, d / bound, min_effect / bound) for i, d in enumerate(differences)]
    if not outcomes:
        return Tally(0, 0, None, False)
    lines, passed = walk(np.array([outcomes]), alpha, max_pairs)
    won, lost, line = outcomes.count(1), outcomes.count(-1), int(lines[0, -1])
    return Tally(won, lost, line if line <= won + lost else None, bool(passed[0, -1]))


def walk(outcomes: Array, alpha: float, max_pairs: int) -> tuple[Array, Array]:
    """(wins asked for, passed by now) of many confirmations after each pair; a row each of 1, -1 and 0."""
    runs, pairs = outcomes.shape
    alive = np.zeros(
        (runs, pairs + 1)
    )  # [run, w]: w wins so far without having passed, where nothing is gained
    alive[:, 0] = 1.0
    won, spent = np.zeros(runs, dtype=int), np.zeros(runs)
    lines, passed = np.zeros((runs, pairs), dtype=int), np.zeros((runs, pairs), dtype=bool)
    for pair in range(1, pairs + 1):
        differ = outcomes[:, pair - 1] != 0
        alive[differ, 1:] = (alive[differ, 1:] + alive[differ, :-1]) / 2
        alive[differ, 0] /= 2
        won += outcomes[:, pair - 1] == 1
        tail = alive[:, ::-1].cumsum(1)[:, ::-1]  # P(at least w wins)
        budget = alpha * (1.0 if pair >= max_pairs else EARLY * (pair / max_pairs) ** 2)
        line = (tail > (budget - spent)[:, None] * (1 + 1e-12)).sum(1)
        above = np.arange(pairs + 1) >= line[:, None]
        spent += np.where(above, alive, 0.0).sum(1)
        alive[above] = 0.0
        lines[:, pair - 1] = line
        passed[:, pair - 1] = passed[:, pair - 2] | (won >= line) if pair > 1 else won >= line
    return lines, passed


def last_line(differing: int, alpha: float) -> int:
    """Wins that the last look asks for where so many pairs differ and no look before could pass."""
    from scipy.special import bdtrc

    return int(np.argmax(bdtrc(np.arange(differing + 1), differing, 0.5) <= alpha)) + 1


def outcome(pair: int, share: float, least: float) -> int:
    """1 won, -1 lost, 0 alike. Expected: (share - least) / (1 + |least|), so 0 at most iff the gain is
    `least`."""
    if not abs(share) <= 1 + 1e-9:
        raise ValueError(f"a difference is {share:.3g} times its bound")
    forfeit, fraction = _numbers(pair)
    if forfeit < abs(least) / (1 + abs(least)):
        return -1 if least > 0 else 1
    return (1 if share > 0 else -1) if fraction < abs(share) else 0


@cache
def _numbers(pair: int) -> tuple[float, float]:
    """Two numbers in [0, 1), the same for the n-th pair of every confirmation."""
    return derive_seed("forfeit", pair) / 2**31, derive_seed("fraction", pair) / 2**31

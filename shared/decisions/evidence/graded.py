"""The test of a graded gain, in two parts that must both pass: whether the gain is more than the spread of
the pairs explains, and whether rare great losses that have not shown yet could outweigh it.

Gain: the t e-process (t_evidence.py) against a mean of `min_effect`, at 1/alpha.
Losses: the wealth of a bettor against a mean of 0 over everything (betting.py), or of `min_effect` where that
is below 0 (a margin), whatever the differences are like. A release that ruins a share q of its pairs and
gains a little on the others has mean 0, and shows no loss in n pairs with probability (1 - q)^n; along such a
path wealth is about (1 - q)^-n, so that a line at 1/alpha is exact where the gains have no spread, and too
high by the factor `spread_factor` where they have.

No test could do much better: docs/gate.md, "What no test can do".
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from shared.decisions.evidence.betting import log_wealth_path
from shared.decisions.evidence.t_evidence import Array, log_mixture, log_t_evidence, standardised

FEWEST = 3  # pairs before which no spread is known
STAKES = ((0.995, 0.98), (0.5, 0.02))  # a gain that is small against the bound wants the highest stake
EARLY = 2.0  # looks before the last use this times 1/alpha, which leaves the last one nearly all of alpha
LAST = 1.04  # makes up for what those earlier looks use
PLACES = np.linspace(-9.0, 9.0, 361)  # arctanh of t / sqrt(t^2 + n - 1), at which the table has its values
MOST_SHARE = 1 - 3e-8  # of t / sqrt(t^2 + n - 1): the table's end
LEAST = 1 / 3  # of 1/alpha, so that a gainless release passes with 3/LAST alpha at most, whatever its law


def passes(
    differences: ArrayLike, alpha: float, min_effect: float, bound: float, max_pairs: int
) -> tuple[Array, Array, Array]:
    """(log t evidence, log wealth, log of the line that the wealth must reach) after each pair."""
    values = np.asarray(differences, dtype=float)
    evidence = log_t_evidence(values, min_effect)
    return evidence, *_losses(values, alpha, min_effect, bound, max_pairs)


def passed_in(runs: Array, alpha: float, min_effect: float, bound: float = 1.0) -> Array:
    """Which of many confirmations pass by each pair, each a row of max_pairs differences; for planning and
    for simulation, with the t evidence from a table (off by less than 0.001 in its logarithm)."""
    count, share = standardised(runs - min_effect)
    place = np.arctanh(np.clip(share, -MOST_SHARE, MOST_SHARE))
    columns = [np.interp(place[:, n], PLACES, _t_row(n + 1)) for n in range(len(count))]
    wealth, line = _losses(runs, alpha, min_effect, bound, runs.shape[-1])
    return passed(np.stack(columns, axis=1), wealth, line, alpha)


def _losses(
    values: Array, alpha: float, min_effect: float, bound: float, max_pairs: int
) -> tuple[Array, Array]:
    """log wealth and the log of its line. A loss of `bound` is then -1 and what is tested a mean of 0."""
    least = min(min_effect, 0.0)
    shares = (values - least) / (bound + least)
    return log_wealth_path(values, bound, least, STAKES), loss_line(shares, alpha, max_pairs)


@cache
def _t_row(count: int) -> Array:
    """The t evidence after `count` pairs at PLACES."""
    return log_mixture(np.full(PLACES.shape, float(count)), np.tanh(PLACES))


def passed(evidence: Array, wealth: Array, line: Array, alpha: float) -> Array:
    """Whether the test has passed by each pair. Once it has, more pairs don't revoke it: they need not be
    measured."""
    here = (evidence >= -np.log(alpha)) & (wealth >= line)
    here[..., : FEWEST - 1] = False
    return np.logical_or.accumulate(here, axis=-1)


def loss_line(shares: Array, alpha: float, max_pairs: int) -> Array:
    """log of the wealth that is asked for after each pair; `shares`: differences over the greatest loss."""
    count = np.arange(1, shares.shape[-1] + 1)
    total, squares = shares.cumsum(-1), np.square(shares).cumsum(-1)
    variance = np.maximum(squares - total * total / count, 0.0) / np.maximum(count - 1, 1)
    last = LAST * np.maximum(spread_factor(np.sqrt(variance * count)), LEAST)
    asked: Array = np.log(np.where(count < max_pairs, EARLY, last)) - np.log(alpha)
    return asked


def spread_factor(omega: Array) -> Array:
    """exp(-omega^2/2) max_y exp(-omega y) Phi(y): how often a mean of 0 with its losses unseen reaches a
    line, over one over that line, in the worst case. `omega`: standard deviation of the log wealth, spread
    * sqrt(n).

    Log wealth W is nearly N(mu, omega^2) where no loss shows, which has probability E exp(-W) under mean 0;
    P(W >= c and no loss) = exp(-c - omega^2/2 - omega y) Phi(y) with y = (mu - c - omega^2) / omega.
    """
    grid, factors = _spread_factors()
    found: Array = np.interp(omega, grid, factors)
    return found


@cache
def _spread_factors() -> tuple[Array, Array]:
    from scipy.special import ndtr

    y, grid = np.linspace(-8.0, 6.0, 1401), np.linspace(0.0, 4.0, 161)
    highest = (np.exp(-grid[:, None] * y) * ndtr(y)).max(1)
    highest[0] = 1.0  # reached where y grows without end
    return grid, np.exp(-(grid**2) / 2) * highest

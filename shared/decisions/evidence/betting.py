"""The gate's statistics: a betting e-process for a bounded mean, and the alpha of each generation.

Test of H0: E[d] <= min_effect for differences d in [-bound, bound]. A gambler stakes a share `l` of the most
that may be staked without ruin; her wealth is the product of 1 + l (d - min_effect) / (bound + min_effect).
Under H0 no bet gains on average, so wealth reaches 1/alpha at any time with probability alpha at most,
however often one looks (Waudby-Smith & Ramdas, JRSS-B 2024). Three fixed shares stand side by side: their
mean is a wealth too, and as it does not depend on the order of the pairs, it recomputes from the numbers
alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# (share of the most that may be staked, part of the purse). Gains that are large against their spread want
# the highest stake; noisy ones (right or wrong answers) the lower two, at the price of log(1/0.8) = 0.22.
STAKES = ((0.99, 0.8), (0.5, 0.1), (0.15, 0.1))


def log_wealth(differences: Sequence[float], bound: float, min_effect: float) -> float:
    """log of the e-value. Raises ValueError for a difference outside its bounds: the guarantee would be
    void."""
    if any(not abs(difference) <= bound * (1 + 1e-9) for difference in differences):
        raise ValueError(f"a difference is outside [-{bound}, {bound}]")
    gains = [(difference - min_effect) / (bound + min_effect) for difference in differences]
    logs = [
        math.log(part) + sum(math.log1p(stake * max(gain, -1.0)) for gain in gains) for stake, part in STAKES
    ]
    highest = max(logs)
    return highest + math.log(sum(math.exp(value - highest) for value in logs))


def log_wealth_path(
    differences: NDArray[np.float64], bound: float, least: float, stakes: Sequence[tuple[float, float]]
) -> NDArray[np.float64]:
    """log wealth against a mean of `least` after each difference, along the last axis; the same refusals."""
    if not np.all(np.abs(differences) <= bound * (1 + 1e-9)):
        raise ValueError(f"a difference is outside [-{bound}, {bound}]")
    shares = ((differences - least) / (bound + least)).clip(-1)
    logs = [np.log(part) + np.log1p(stake * shares).cumsum(-1) for stake, part in stakes]
    path: NDArray[np.float64] = np.logaddexp.reduce(np.stack(logs), axis=0)
    return path


def e_value(differences: Sequence[float], bound: float, min_effect: float) -> float:
    """The evidence against H0; capped where a float ends."""
    return math.exp(min(log_wealth(differences, bound, min_effect), 700.0))


def generation_alpha(alpha: float, number: int, generations: int, promotions: int) -> float:
    """e-LOND (Xu & Ramdas, AISTATS 2024): alpha * gamma_t * (promotions so far + 1), whatever the dependence.

    It bounds the expected share of false promotions among a run's promotions by alpha. gamma_t falls as 1/t
    and sums to 1 over the generations that the run may have, which its config fixes beforehand.
    """
    harmonic = math.fsum(1.0 / t for t in range(1, generations + 1))
    gamma = 1.0 / number / harmonic if number <= generations else 0.0
    return min(alpha, alpha * gamma * (promotions + 1))

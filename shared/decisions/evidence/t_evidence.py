"""Evidence for a mean gain that measures the spread instead of bounding it: the t e-process.

For a standardised effect delta, the likelihood ratio of the scale-invariant statistics against delta = 0 (the
right Haar prior on the spread; Perez-Ortiz, Lardy, de Heide & Gruenwald, Annals of Statistics 2024) equals
the noncentral over the central density of Student's t. It is a martingale where the differences are normal
about `min_effect`, whatever their spread, and smaller in the mean below it. A mixture over effects is one
as well.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

EFFECTS = (0.4, 0.7, 1.2)  # of gain over spread, in equal parts: what 8 to 60 pairs can distinguish

Array = NDArray[np.float64]


def log_t_evidence(differences: ArrayLike, min_effect: float) -> Array:
    """log e-value after each of the differences, along the last axis."""
    count, share = standardised(np.asarray(differences, dtype=float) - min_effect)
    return log_mixture(np.broadcast_to(count, share.shape), share)


def standardised(values: Array) -> tuple[Array, Array]:
    """n, and t / sqrt(t^2 + n - 1) in [-1, 1], after each value along the last axis."""
    count = np.arange(1.0, values.shape[-1] + 1)
    total, squares = values.cumsum(-1), np.square(values).cumsum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(squares > 0, total / np.sqrt(count * squares), 0.0)
    return count, np.clip(share, -1.0, 1.0)


def log_mixture(count: Array, share: Array) -> Array:
    logs = np.stack([log_likelihood_ratio(count, share, effect) for effect in EFFECTS])
    mixed: Array = np.logaddexp.reduce(logs, axis=0) - np.log(len(EFFECTS))
    return mixed


def log_likelihood_ratio(count: Array, share: Array, effect: float) -> Array:
    """log of nct.pdf(t, n - 1, sqrt(n) effect) / t.pdf(t, n - 1) where share = t / sqrt(t^2 + n - 1).

    = -n effect^2 / 2 + log of the integral of u^(n-1) exp(-u^2/2 + b u) du over the same with b = 0, where
    b = sqrt(n) effect share; by Gauss-Hermite in log u about the mode, where it is nearly normal.
    """
    from scipy.special import gammaln

    nodes, weights = _hermite()
    slope: Any = effect * np.sqrt(count) * share
    mode = (slope + np.sqrt(slope * slope + 4 * count)) / 2
    peak = count * np.log(mode) - mode * mode / 2 + slope * mode
    width = 1 / np.sqrt(mode * mode + count)
    step = np.sqrt(2) * width[..., None] * nodes
    u = mode[..., None] * np.exp(step)
    height = count[..., None] * (np.log(mode)[..., None] + step) - u * u / 2 + slope[..., None] * u
    area = (np.exp(height - peak[..., None] + nodes**2) * weights).sum(-1) * np.sqrt(2) * width
    without = (count / 2 - 1) * np.log(2) + gammaln(count / 2)
    ratio: Array = -count * effect**2 / 2 + peak + np.log(area) - without
    return ratio


@cache
def _hermite() -> tuple[Array, Array]:
    """Nodes and weights of Gauss-Hermite quadrature."""
    from scipy.special import roots_hermite

    nodes, weights = roots_hermite(32)
    return nodes, weights

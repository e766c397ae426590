"""What the attempts of a design say about every setting: a mixed model, fitted by least squares.

score = mean + instance + sum over knobs + sum over pairs of knobs + the setting's own + noise. Each part is
drawn from a normal distribution around 0 whose width is not known: all widths of a grid, none among them, are
weighted by how likely they make the scores (restricted maximum likelihood), and predictions are averaged. So
what looks like an effect and may be noise is shrunk towards none, and the best of many is not taken at its
word. (Henderson's mixed model equations in their dual form, which is Gaussian process regression with an
additive kernel: Duvenaud et al., 2011.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtr

from feedback_service.design.levels import Settings, Space, likeness

Array = NDArray[np.float64]

# Variances of the parts, as multiples of the noise's.
INSTANCE = (0.0, 0.3, 1.0)
KNOB = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0)
PAIR = (0.0, 0.1, 0.3)  # times KNOB's
MOST = 800  # observations, the latest: a fit grows with their cube
LEAST_VARIANCE = 1e-9


@dataclass(frozen=True)
class Observation:
    """One attempt. `score` as a share of the task's range; `noise` multiplies its variance (1: a measurement
    under the live conditions)."""

    instance: str
    settings: Settings
    score: float
    noise: float = 1.0


@dataclass(frozen=True)
class Gain:
    """Of a setting over the live one: mean and standard error, and the probability that there is any."""

    mean: float
    error: float
    sure: float


@dataclass(frozen=True)
class _Fit:
    """One choice of the variances, fitted."""

    knob: float
    pair: float
    weight: float
    variance: float  # of the noise
    factor: Any  # of the covariance, by Cholesky
    residual: Array  # covariance^-1 (scores - mean)
    ones: Array  # covariance^-1 1


class Surface:
    """The fitted model. With no observation it knows nothing: every gain is 0 and unsure."""

    def __init__(self, space: Space, observations: Sequence[Observation]) -> None:
        self._space = space
        used = observations[-MOST:]
        self._seen = [space.whole(item.settings) for item in used]
        self._fits: list[_Fit] = []
        if len(used) > 1:
            self._fits = list(_weighted(_fits(used, *self._kernels(self._seen, self._seen))))

    def gains(self, settings: Sequence[Settings]) -> list[Gain]:
        if not settings:
            return []
        if not self._fits:
            return [Gain(0.0, float("inf"), 0.5) for _ in settings]
        wanted = [*settings, self._space.live]
        across, inside = self._kernels(wanted, self._seen), self._kernels(wanted, wanted)
        parts = [_contrast(fit, across, inside) for fit in self._fits]
        weights = np.array([fit.weight for fit in self._fits])
        means, variances = np.array([part[0] for part in parts]), np.array([part[1] for part in parts])
        mean = weights @ means
        error = np.sqrt(weights @ (variances + (means - mean) ** 2))
        sure = weights @ ndtr(means / np.sqrt(np.maximum(variances, LEAST_VARIANCE)))
        flat = sum(fit.weight for fit in self._fits if fit.knob == 0)  # no knob does anything: no gain
        return [
            Gain(float(m), float(e), float(s) - flat / 2) for m, e, s in zip(mean, error, sure, strict=True)
        ]

    def _kernels(self, rows: Sequence[Settings], columns: Sequence[Settings]) -> tuple[Array, Array]:
        """How alike settings are: summed over knobs; and over pairs of knobs, with 1 more where equal."""
        total = np.zeros((len(rows), len(columns)))
        squares, same = np.zeros_like(total), np.ones_like(total)
        for name, knob in self._space.knobs.items():
            values = list(dict.fromkeys([row[name] for row in rows] + [column[name] for column in columns]))
            table = np.array([[likeness(knob, one, other) for other in values] for one in values])
            left = [values.index(row[name]) for row in rows]
            right = [values.index(column[name]) for column in columns]
            alike = table[np.ix_(left, right)]
            total += alike
            squares += alike**2
            same *= alike == 1.0
        return total, (total**2 - squares) / 2 + same


def _fits(observations: Sequence[Observation], knobs: Array, pairs: Array) -> Iterator[tuple[float, _Fit]]:
    """Each choice of the variances with its log-likelihood."""
    scores = np.array([item.score for item in observations])
    names = np.array([item.instance for item in observations])
    shared = (names[:, None] == names[None, :]).astype(float)
    noise = np.diag([item.noise for item in observations])
    for instance in INSTANCE:
        for knob in KNOB:
            for pair in PAIR if knob else (0.0,):
                covariance = noise + instance * shared + knob * knobs + knob * pair * pairs
                yield _fit(scores, covariance, knob, knob * pair)


def _fit(scores: Array, covariance: Array, knob: float, pair: float) -> tuple[float, _Fit]:
    factor = cho_factor(covariance, lower=True)
    ones = cho_solve(factor, np.ones(len(scores)))
    solved = cho_solve(factor, scores)
    precision = float(ones.sum())
    mean = float(solved.sum()) / precision
    residual = solved - mean * ones
    free = len(scores) - 1
    variance = max(float((scores - mean) @ residual) / free, LEAST_VARIANCE)
    log_determinant = 2 * float(np.log(np.diag(factor[0])).sum())
    likelihood = -0.5 * (free * float(np.log(variance)) + log_determinant + float(np.log(precision)))
    return likelihood, _Fit(knob, pair, 0.0, variance, factor, residual, ones)


def _weighted(fits: Iterator[tuple[float, _Fit]]) -> Iterator[_Fit]:
    """Each fit with its share of the likelihood: every width of the knobs' part is as likely beforehand."""
    found = list(fits)
    best = max(likelihood for likelihood, _ in found)
    choices = {knob: len(PAIR) if knob else 1 for knob in KNOB}
    raw = [float(np.exp(likelihood - best)) / choices[fit.knob] for likelihood, fit in found]
    total = sum(raw)
    for weight, (_, fit) in zip(raw, found, strict=True):
        yield replace(fit, weight=weight / total)


def _contrast(fit: _Fit, across: tuple[Array, Array], inside: tuple[Array, Array]) -> tuple[Array, Array]:
    """Mean and variance of each setting's gain over the last one, which is the live one."""
    seen = fit.knob * across[0] + fit.pair * across[1]
    prior = fit.knob * inside[0] + fit.pair * inside[1]
    differs = seen[:-1] - seen[-1]
    mean = differs @ fit.residual
    spread = np.diag(prior)[:-1] + prior[-1, -1] - 2 * prior[:-1, -1]
    known = np.einsum("ij,ji->i", differs, cho_solve(fit.factor, differs.T))
    unknown_mean = (differs @ fit.ones) ** 2 / fit.ones.sum()
    return mean, fit.variance * np.maximum(spread - known + unknown_mean, 0.0)

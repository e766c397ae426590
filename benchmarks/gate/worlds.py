"""Differences of a candidate against base, drawn from stated laws that a gate may meet. No gain unless
named.

A draw is (generator, runs, pairs) -> an array [run, pair] of differences in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int, int], Array]


def normal(gain: float, spread: float) -> Draw:
    """Cut at the bounds evenly about the gain: its mean stays."""
    room = 1.0 - abs(gain)
    return lambda rng, runs, pairs: gain + np.clip(rng.normal(0.0, spread, (runs, pairs)), -room, room)


def heavy_tails(rng: np.random.Generator, runs: int, pairs: int, mean: float = 0.0) -> Array:
    """Student's t with 1.5 degrees of freedom: no variance but for the bounds."""
    room = 1.0 - abs(mean)
    found: Array = mean + np.clip(0.05 * rng.standard_t(1.5, (runs, pairs)), -room, room)
    return found


def long_losses(rng: np.random.Generator, runs: int, pairs: int) -> Array:
    """Mostly a little better, with a long tail of losses: an exponential turned round, mean 0."""
    return -np.clip(0.1 * (rng.exponential(1.0, (runs, pairs)) - 1.0), -1.0, 1.0)


def rare_losses(rate: float, loss: float, spread: float, mean: float = 0.0) -> Draw:
    """Ruinous in `rate` of the pairs, and so much better in the others that the mean is `mean`."""

    def draw(rng: np.random.Generator, runs: int, pairs: int) -> Array:
        gain = (rate * loss + mean) / (1 - rate)
        ordinary = normal(gain, spread)(rng, runs, pairs)
        return np.where(rng.random((runs, pairs)) < rate, -loss, ordinary)

    return draw


def rare_failures(rng: np.random.Generator, runs: int, pairs: int) -> Array:
    """Both arms fail (score 0) at times, the candidate three times as often; what it gains makes up for
    it."""
    base, failing, more = rng.normal(0.6, 0.1, (runs, pairs)).clip(0.2, 0.88), 0.02, 0.06
    gain = base * ((1 - failing) / (1 - more) - 1)  # E(1 - more)(base + gain) = E(1 - failing) base
    candidate = (base + gain + rng.normal(0.0, 0.02, (runs, pairs))).clip(0.0, 1.0)
    fails, base_fails = rng.random((runs, pairs)) < more, rng.random((runs, pairs)) < failing
    return np.where(fails, 0.0, candidate) - np.where(base_fails, 0.0, base)


def drift(rng: np.random.Generator, runs: int, pairs: int) -> Array:
    """The machine's speed wanders: a pair's second arm, drawn by lot, meets it changed, and noise comes in
    spells."""
    speed = rng.normal(0.0, 0.05, (runs, pairs)).cumsum(1)
    step = np.diff(speed, axis=1, prepend=0.0) * rng.choice([-1.0, 1.0], (runs, pairs))
    loud = np.where(np.sin(speed * 4) > 0.5, 0.2, 0.04)
    found: Array = np.clip(step + loud * rng.normal(0.0, 1.0, (runs, pairs)), -1.0, 1.0)
    return found


def answers(gain: float, differing: float = 0.3) -> Draw:
    """Right or wrong: `differing` of the instances change, and `gain` is what the right ones lead by."""
    parts = [(differing - gain) / 2, 1 - differing, (differing + gain) / 2]
    return lambda rng, runs, pairs: rng.choice([-1.0, 0.0, 1.0], (runs, pairs), p=parts)


NO_GAIN: dict[str, Draw] = {
    "equal, spread 0.05": normal(0.0, 0.05),
    "equal, spread 0.15": normal(0.0, 0.15),
    "equal, spread 0.4": normal(0.0, 0.4),
    "heavy tails": heavy_tails,
    "long tail of losses": long_losses,
    "rare failures": rare_failures,
    "rare great losses: 5 % lose 0.94": rare_losses(0.05, 0.94, 0.0),
    "rare great losses: 5 % lose 0.94, spread 0.05": rare_losses(0.05, 0.94, 0.05),
    "rare great losses: 5 % lose 0.94, spread 0.1": rare_losses(0.05, 0.94, 0.1),
    "rare great losses: 2 % lose 0.94, spread 0.05": rare_losses(0.02, 0.94, 0.05),
    "rare great losses: 12 % lose 0.94": rare_losses(0.12, 0.94, 0.0),
    "rare great losses, worst for 48 pairs: 6.5 % lose 1, spread 0.1": rare_losses(0.065, 1.0, 0.1),
    "rare great losses, worst for 120 pairs: 2.6 % lose 1, spread 0.05": rare_losses(0.026, 1.0, 0.05),
    "drift of the machine": drift,
    "right or wrong": answers(0.0),
}
GAINS: dict[str, Draw] = {
    "gain 0.05, spread 0.1": normal(0.05, 0.1),
    "gain 0.076, spread 0.1": normal(0.076, 0.1),
    "gain 0.1, spread 0.15": normal(0.1, 0.15),
    "gain 0.1, spread 0.3": normal(0.1, 0.3),
    "gain 0.2, spread 0.3": normal(0.2, 0.3),
}
ANSWERS: dict[str, Draw] = {
    "lead 0.15 of 30 % that differ": answers(0.15),
    "lead 0.2 of 30 % that differ": answers(0.2),
    "lead 0.3 of 50 % that differ": answers(0.3, 0.5),
    "lead 0.12 of 15 % that differ": answers(0.12, 0.15),
}


def worse_by(margin: float) -> dict[str, Draw]:
    """Laws of an arm with less prompt text that is worse by exactly the margin."""
    return {
        "spread 0.05": normal(-margin, 0.05),
        "spread 0.15": normal(-margin, 0.15),
        "spread 0.4": normal(-margin, 0.4),
        "heavy tails": lambda rng, runs, pairs: heavy_tails(rng, runs, pairs, -margin),
        "equal, but loses everything at the margin's rate": rare_losses(margin, 1.0, 0.0, -margin),
        "the same, spread 0.05": rare_losses(margin, 1.0, 0.05, -margin),
        "loses everything at 1.3 times the margin's rate, spread 0.1": rare_losses(
            1.3 * margin, 1.0, 0.1, -margin
        ),
        "right or wrong, 30 % differ": answers(-margin),
    }


NO_WORSE: dict[str, Draw] = {
    "equal, spread 0.05": normal(0.0, 0.05),
    "equal, spread 0.1": normal(0.0, 0.1),
    "equal, spread 0.15": normal(0.0, 0.15),
    "equal, right or wrong, 5 % differ": answers(0.0, 0.05),
    "equal, right or wrong, 30 % differ": answers(0.0),
}

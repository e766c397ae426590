"""A learning algorithm: how it weighs graded samples, and which loss they go into."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Loss = Literal["cloning", "truncated", "clipped", "proximal", "preference"]  # a key of training/loss.py
Taught = list[tuple[int, float]]  # positions of the samples to learn from, each with its weight


@dataclass(frozen=True)
class Graded:
    """Rewards of a batch of samples. Those of one group compare with each other.

    `baselines[i]`: what is expected of sample i where its group holds nothing else (its parent's score).
    """

    rewards: Sequence[float]
    groups: Sequence[str]
    baselines: Sequence[float | None] = ()

    def baseline(self, position: int) -> float | None:
        return self.baselines[position] if self.baselines else None


@dataclass(frozen=True)
class Algorithm:
    """`teach` returns what to learn from, in units of `unit` samples that stay together (2: pairs)."""

    teach: Callable[[Graded], Taught]
    loss: Loss
    unit: int = 1
    imitates: bool = False  # learns from demonstrations; attempts are not read
    passes: int = 4  # over the samples, at most, where the config does not give the steps
    rate: float = 1.0  # its learning rate as a share of the model's


def spread(weights: Sequence[float]) -> float:
    """Root mean square of the advantages of one update."""
    return math.sqrt(statistics.fmean(weight * weight for weight in weights))


def nonzero(weights: Sequence[float]) -> Taught:
    """A weight of zero teaches nothing: such samples are left out before any forward pass."""
    return [(position, weight) for position, weight in enumerate(weights) if weight != 0.0]

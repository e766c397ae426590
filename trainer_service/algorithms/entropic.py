"""Entropic weighting (TTT-Discover, arXiv 2601.16175): policy gradient on exp(beta * reward), which prefers
one outstanding sample to many good ones. beta adapts so that the weights move a fixed distance from uniform:
KL(q_beta || uniform) = ln 2, where q_beta(n) is proportional to exp(beta * r_n).

The paper has 64 samples a group. Small groups are too noisy for that, and two samples can not even move that
far, so groups under SMALL are centred on their own means and then weighed together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainer_service.algorithms.algorithm import Algorithm, Graded, Taught, nonzero
from trainer_service.algorithms.grouping import SINGLE, centre, positions_by_group

GAMMA = math.log(2)  # distance from uniform, in nats
SMALL = 8
MAX_BETA = 1e6  # in units of 1 / the group's spread of rewards
BISECTIONS = 60
EPSILON = 1e-12


def teach(graded: Graded) -> Taught:
    return nonzero(weigh(graded))


def weigh(graded: Graded) -> list[float]:
    """One advantage a sample; zero throughout where all rewards that compare are equal."""
    centred = centre(graded)
    weights = [0.0] * len(centred)
    pooled: list[int] = []
    for group, where in positions_by_group(graded.groups).items():
        if len(where) < SMALL or group == SINGLE:
            pooled += where
        else:
            _place(weights, where, advantages([graded.rewards[i] for i in where]))
    _place(weights, pooled, advantages([centred[i] for i in pooled]))
    return weights


def advantages(rewards: Sequence[float]) -> list[float]:
    """One a sample; zero where there is nothing to compare."""
    if len(rewards) < 2 or _constant(rewards):
        return [0.0] * len(rewards)
    return leave_one_out(rewards, adaptive_beta(rewards))


def leave_one_out(rewards: Sequence[float], beta: float) -> list[float]:
    """A_n = exp(beta (r_n - r_max)) / Z_-n - 1, where Z_-n is the mean of the others' exp(...)."""
    top = max(rewards)
    powers = [math.exp(beta * (reward - top)) for reward in rewards]
    total, others = sum(powers), len(rewards) - 1
    return [power / ((total - power) / others + EPSILON) - 1 for power in powers]


def adaptive_beta(rewards: Sequence[float]) -> float:
    """The beta at which q_beta is GAMMA from uniform: doubling, then bisection.

    Fewer than four samples are held to half of the distance that they could move at most (ln N): at the full
    distance one would hold all the weight and its advantage would be unbounded.
    """
    distance = min(GAMMA, 0.5 * math.log(len(rewards)))
    spread = max(rewards) - min(rewards)
    low, high, limit = 0.0, 1.0 / spread, MAX_BETA / spread
    while divergence(rewards, high) < distance and high < limit:
        low, high = high, 2 * high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if divergence(rewards, middle) < distance else (low, middle)
    return (low + high) / 2


def divergence(rewards: Sequence[float], beta: float) -> float:
    """KL(q_beta || uniform) = sum q log(N q)."""
    top = max(rewards)
    powers = [math.exp(beta * (reward - top)) for reward in rewards]
    total = sum(powers)
    shares = [power / total for power in powers]
    return sum(share * math.log(len(rewards) * share) for share in shares if share > 0)


def _constant(rewards: Sequence[float]) -> bool:
    scale = max(abs(reward) for reward in rewards)
    return max(rewards) - min(rewards) <= 1e-9 * max(1.0, scale)


def _place(weights: list[float], where: Sequence[int], values: Sequence[float]) -> None:
    for position, value in zip(where, values, strict=True):
        weights[position] = value


ALGORITHM = Algorithm(teach, loss="clipped")

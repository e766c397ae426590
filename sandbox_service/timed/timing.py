"""The rules of timing, apart from any process: how many rounds, in which order, how long to wait, the sums.

All programs of an instance are timed in one interleaved block: in every round each runs once on the same
fresh inputs, so drift of the machine affects all of them. Nothing here depends on how a candidate behaves,
only on the baseline's first time, so a candidate can not choose how often or how long it is measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from shared.messages.records import Check

# Seconds of a block that go to the baseline, and the fewest and most rounds: a short run is repeated until
# its noise averages out, a long one averages over its own noise. What remains is little beside what separates
# one attempt of a policy from the next, so that more instances tell more than more rounds.
BASELINE_S: dict[Check, float] = {"public": 0.2, "final": 0.4}
FEWEST: dict[Check, int] = {"public": 3, "final": 5}
MOST: dict[Check, int] = {"public": 7, "final": 9}
SLOW_BASELINE_S = 0.2
FEWEST_IF_SLOW: dict[Check, int] = {"public": 2, "final": 3}
PATIENCE = 10  # times the baseline that a candidate may take; its score has long been the lowest then
GRACE_S = 1.0  # on top, because a busy machine can hold up anything
MIN_EFFECT = 0.01  # a smaller difference of speed counts as none
WRONG = 0.02  # how often a difference that is no larger than that may be called one, on either side
FEWEST_TO_CLAIM = 6  # rounds: of five, all may agree by chance more often than WRONG


@dataclass(frozen=True)
class Timing:
    """The result of the rounds for one program."""

    speedup: float  # median over rounds of baseline / program, each of the same round
    candidate_ms: float
    baseline_ms: float
    noise: float  # half the range of the log of the ratio over rounds
    speedup_low: float  # on either side of it the true median lies with a probability of at most WRONG;
    speedup_high: float  # with fewer than FEWEST_TO_CLAIM rounds, only the range of the ratios
    rounds: float

    @property
    def differs(self) -> bool:
        """Whether the program can be called faster or slower than the baseline by more than MIN_EFFECT."""
        apart = self.speedup_low > 1 + MIN_EFFECT or self.speedup_high < 1 / (1 + MIN_EFFECT)
        return self.rounds >= FEWEST_TO_CLAIM and apart


def rounds_for(check: Check, baseline_s: float) -> int:
    if baseline_s > SLOW_BASELINE_S:
        return FEWEST_IF_SLOW[check]
    return max(FEWEST[check], min(MOST[check], round(BASELINE_S[check] / max(baseline_s, 1e-6))))


def deadline_s(limit_s: float, baseline_s: float) -> float:
    """How long any program of the block may take for one run."""
    return min(limit_s, GRACE_S + PATIENCE * baseline_s)


def orders(programs: int, rounds: int, rng: np.random.Generator) -> list[list[int]]:
    """The order of the programs in every round: a random one, its mirror, another random one, ... (ABBA)."""
    result: list[list[int]] = []
    for index in range(rounds):
        order = result[-1][::-1] if index % 2 else rng.permutation(programs).tolist()
        result.append(order)
    return result


def summarize(baseline_s: Sequence[float], program_s: Sequence[float]) -> Timing:
    """Times of the same rounds, in seconds. Ratios are taken within a round, never across."""
    ratios = [base / own for base, own in zip(baseline_s, program_s, strict=True)]
    noise = (math.log(max(ratios)) - math.log(min(ratios))) / 2
    low, high = interval(ratios)
    return Timing(
        median(ratios), median(program_s) * 1e3, median(baseline_s) * 1e3, noise, low, high, len(ratios)
    )


def interval(ratios: Sequence[float]) -> tuple[float, float]:
    """The sign test's interval of the median. It only assumes that rounds are independent, so the long tail
    that a busy machine makes can widen it but not bias it."""
    ordered, count, tail = sorted(ratios), len(ratios), 0.0
    for place in range(count // 2):
        tail += math.comb(count, place) / 2**count  # that the median lies below ordered[place]
        if tail > WRONG:
            return ordered[max(0, place - 1)], ordered[-max(1, place)]
    return ordered[0], ordered[-1]

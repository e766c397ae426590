"""Which levers the next generation pulls, where a run leaves that open (`run.levers = "auto"`): Thompson
sampling on confirmed gain per second. Pure; equal pulls and seeds give equal choices.

A lever's pull pays if its change is promoted. The chance of that has a beta distribution, in which older
pulls count less (what paid once may have stopped paying); times the mean confirmed gain, by the mean cost, it
is a rate. One rate is drawn for each lever. The better one is pulled, and the other one too unless its rate
is far below: proposals of both share a generation's train rollouts, screen and confirmation.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.decisions.levers import LEVERS, Lever

FIRST = 2  # pulls of each lever before one of them may be left alone
MEMORY = 0.7  # weight of a pull beside the one after it
FAR_BELOW = 0.25  # of the better rate
LEAST_COST_S = 1.0


@dataclass(frozen=True)
class Pull:
    """One generation in which the lever was pulled. `gain`: confirmed; 0 where nothing of it was promoted."""

    gain: float
    cost_s: float


@dataclass(frozen=True)
class LeverChoice:
    levers: tuple[Lever, ...]
    why: str


def choose_levers(pulls: Mapping[Lever, Sequence[Pull]], seed: int) -> LeverChoice:
    """`pulls`: of each lever, oldest first."""
    fewest = min(len(pulls.get(lever, ())) for lever in LEVERS)
    if fewest < FIRST:
        return LeverChoice(LEVERS, f"both levers: each is pulled {FIRST} times first")
    rng = random.Random(seed)
    rates = {lever: _drawn_rate(lever, pulls, rng) for lever in LEVERS}
    better = max(LEVERS, key=lambda lever: rates[lever])
    shown = ", ".join(f"{lever} {_paid(pulls[lever])}, drawn {rates[lever]:.3g} a second" for lever in LEVERS)
    if min(rates.values()) >= FAR_BELOW * rates[better]:
        return LeverChoice(LEVERS, f"both levers: {shown}")
    return LeverChoice((better,), f"the {better} lever alone: {shown}")


def _drawn_rate(lever: Lever, pulls: Mapping[Lever, Sequence[Pull]], rng: random.Random) -> float:
    weights = [MEMORY**age for age in reversed(range(len(pulls[lever])))]
    paid = math.fsum(weight for weight, pull in zip(weights, pulls[lever], strict=True) if pull.gain > 0)
    chance = rng.betavariate(1 + paid, 1 + math.fsum(weights) - paid)
    gains = [pull.gain for pull in pulls[lever] if pull.gain > 0]
    gains = gains or [pull.gain for other in LEVERS for pull in pulls[other] if pull.gain > 0] or [1.0]
    cost_s = math.fsum(pull.cost_s for pull in pulls[lever]) / len(pulls[lever])
    return chance * math.fsum(gains) / len(gains) / max(cost_s, LEAST_COST_S)


def _paid(pulls: Sequence[Pull]) -> str:
    return f"paid in {sum(pull.gain > 0 for pull in pulls)} of {len(pulls)} generations"

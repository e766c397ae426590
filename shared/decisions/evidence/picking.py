"""Which arm a screen picks for the confirmation. It proves nothing: gate.py's test of fresh pairs does."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from shared.decisions.arms import Paired
from shared.decisions.intervals import standard_error
from shared.decisions.levers import LEVERS
from shared.messages.records import ARMS, Arm

TIE = 1e-9
INTERACTION = 2.0  # standard errors; within them the levers' effects count as adding up


def pick(paired: Paired, margin: float = 0.0) -> str:
    """The arm with the highest mean gain over base; ties prefer nothing, harness, weights, both. `both`
    is picked only where the lever that it adds to the better of its parts shows an effect of a standard error
    or more, else that part is: the confirmation compares with base alone, and half of what is promoted would
    be unproven. `margin`: what the harness arm may lose, so the others must lead it by that much."""
    gains = {arm: math.fsum(paired.differences(arm)) for arm in ARMS if arm in paired.scores}
    if "harness" in gains:
        gains["harness"] += margin * len(paired.instances)
    best = _first_of_best(gains)
    if best == "both" and set(LEVERS) <= set(gains):
        part, added = LEVERS if gains["harness"] >= gains["weights"] else LEVERS[::-1]
        effect = added_effect(paired.differences("both", part), paired.differences(added))
        if math.fsum(effect) / len(effect) < standard_error(effect):
            return _first_of_best({arm: gain for arm, gain in gains.items() if arm != "both"})
    return best


def added_effect(beside: Sequence[float], alone: Sequence[float]) -> Sequence[float]:
    """A lever's effect, one value an instance, from what it brings `beside` the other (both - other) and
    `alone` (lever - base). Where the two do not differ clearly, their mean tells more than either: the main
    effect of a factorial design of two factors. Else only the first counts: the other lever comes along."""
    interaction = [a - b for a, b in zip(beside, alone, strict=True)]
    if abs(math.fsum(interaction)) / len(interaction) > INTERACTION * standard_error(interaction):
        return beside
    return [(a + b) / 2 for a, b in zip(beside, alone, strict=True)]


def _first_of_best(gains: Mapping[Arm, float]) -> Arm:
    best = max(gains.values())
    return next(arm for arm in ARMS if arm in gains and gains[arm] >= best - TIE)

"""Tests that what an endpoint serves under an adapter's name is that adapter: by the log-probabilities of one
text, calibrated on how far the endpoint's own base model is from the trainer's (half precision, other
kernels)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

EXACT = 1e-3  # largest difference that batching and kernels make in one precision
NOISE_FACTOR = 4.0  # ... and how much more than its base's an adapter's may be in another
OTHER_BASE = 1.0  # nats (root mean square): no precision makes that much of one model
CLEAR = 3.0  # standard errors


@dataclass(frozen=True)
class Expected:
    """What the trainer measured: log-probabilities of one text under the adapter and under the bare base."""

    adapter: Sequence[float]
    base: Sequence[float]


def why_refused(adapter: Sequence[float], base: Sequence[float], expected: Expected, norm: float) -> str:
    """Why the endpoint's answers under both names are not that adapter's; empty: they are.

    The change that the adapter makes there is regressed on the change that it should make: a slope of 1 is
    the adapter, 0 the base in its place. What is left over must be of the size of the endpoint's noise.
    """
    noise = [here - there for here, there in zip(base, expected.base, strict=True)]
    wanted = [a - b for a, b in zip(expected.adapter, expected.base, strict=True)]
    made = [a - b for a, b in zip(adapter, base, strict=True)]
    allowed = max(EXACT, NOISE_FACTOR * max(map(abs, noise)))
    if _rms(noise) > OTHER_BASE:
        return f"its base model is another: log-probabilities differ by {_rms(noise):.2g} without an adapter"
    off = max(abs(a - b) for a, b in zip(made, wanted, strict=True))
    square = math.fsum(change * change for change in wanted)
    if norm == 0 or square == 0:
        return "" if off <= allowed else f"it should answer as the base, and differs from it by {off:.2g}"
    slope = math.fsum(a * b for a, b in zip(made, wanted, strict=True)) / square
    rest = [a - slope * b for a, b in zip(made, wanted, strict=True)]
    error = math.sqrt(math.fsum(r * r for r in rest) / max(len(rest) - 1, 1) / square)
    if max(map(abs, made)) <= EXACT and slope < 0.5:
        return "it answers as the base model does: the endpoint ignores the adapter"
    if off > allowed:
        return (
            f"it does not answer as it did when it was published: log-probabilities differ by {off:.2g}, "
            f"allowed are {allowed:.2g} (the endpoint's base model differs by {max(map(abs, noise)):.2g})"
        )
    if slope < 0.5 or slope < CLEAR * error:
        return (
            f"it is not clearly nearer to the adapter than to the base: {slope:.2f} of its effect is "
            f"seen, give or take {error:.2f}"
        )
    return ""


def _rms(values: Sequence[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values) / len(values))

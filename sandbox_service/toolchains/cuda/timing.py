"""The rules of timing on a GPU, apart from any GPU: rounds, what the clocks must agree on, the floor, health.

The order within rounds is timing.orders: with a baseline and one candidate it is A B B A.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from shared.messages.records import Check

ROUNDS: dict[Check, int] = {"public": 4, "final": 8}  # even: every order is followed by its mirror
CLOCK_SHARE = 0.10  # by which two clocks of one window may differ, and on top:
LAUNCH_S = 600e-6  # what the runner's clock sees of the last flushes, of launching and synchronising
PIPE_S = 0.05  # what the parent's clock sees of pipes, JSON and a busy machine
CLOCK_RETRIES = 4  # rounds of one evaluation that are timed again, on new inputs, because the machine stalled
FLOOR_SHARE = 0.9  # of the physical floor: its rates are measured ones, and may be a little low
CANARIES = 2  # failures in a row that make a GPU faulty
IDLE = 0x1  # NVML's reason for an idle GPU
Health = Literal["well", "again", "faulty"]


def rounds_for(check: Check) -> int:
    """How many rounds. The same for every candidate, however fast it is."""
    return ROUNDS[check]


def clock_fault(event_s: float, wall_s: float, parent_s: float) -> str:
    """Why the three clocks of one timed run disagree; empty where they agree.

    `event_s` is between CUDA events, `wall_s` around the launches and a device-wide synchronisation,
    `parent_s` around the request to the runner. Each window holds the one before it.
    """
    if not 0 < event_s <= wall_s * (1 + CLOCK_SHARE) + LAUNCH_S:
        return f"the events say {_ms(event_s)}, the runner's clock {_ms(wall_s)}"
    if wall_s > event_s * (1 + CLOCK_SHARE) + LAUNCH_S:
        return f"the events say {_ms(event_s)}, but the device was busy for {_ms(wall_s)}"
    if wall_s > parent_s:
        return f"the runner's clock shows {_ms(wall_s)}, the parent's only {_ms(parent_s)}"
    if parent_s > wall_s * (1 + CLOCK_SHARE) + PIPE_S:
        return f"the runner's clock shows {_ms(wall_s)}, the parent's {_ms(parent_s)}"
    return ""


def floor_fault(seconds: Sequence[float], floor_s: float) -> str:
    """Why these times can't be true on any device of this kind; empty where they can."""
    best = min(seconds)
    if best >= FLOOR_SHARE * floor_s:
        return ""
    return (
        f"{_ms(best)} is under the physical floor of this shape, {_ms(floor_s)}: it can't have done the work"
    )


def health(canaries: Sequence[bool]) -> Health:
    """The GPU's health by the canaries so far: one that passes is enough, CANARIES failures in a row make it
    faulty."""
    if any(canaries):
        return "well"
    return "faulty" if len(canaries) >= CANARIES else "again"


def throttled(reasons: int) -> bool:
    """Whether NVML's clock reasons name anything but idleness."""
    return bool(reasons & ~IDLE)


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.4g} ms"

"""The levels of a harness's knobs: which values a design of experiments tries, and how alike two are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.harness.bundle import Harness, Knob, KnobValue

Settings = Mapping[str, KnobValue]

MOST_LEVELS = 6  # of one knob, beside the live one
HALF = 0.5  # of what two levels of an ordered knob share, by their distance; the rest by being the same


@dataclass(frozen=True)
class Space:
    """The knobs that can be moved, with the live setting and the levels that may be tried beside it."""

    knobs: Mapping[str, Knob]
    live: Settings
    others: Mapping[str, tuple[KnobValue, ...]]

    def whole(self, changed: Settings) -> dict[str, KnobValue]:
        """A value for every knob of the space: the changed ones, and the live rest."""
        return {name: changed.get(name, self.live[name]) for name in self.knobs}

    def moved(self, settings: Settings) -> dict[str, KnobValue]:
        """What differs from the live setting."""
        return {name: settings[name] for name in self.knobs if settings[name] != self.live[name]}


def space_of(harness: Harness, *, trials: bool, first: bool) -> Space:
    """All knobs that a design can move. Left out: pin_FIELD (replies vary that field themselves), the number
    of exemplars where there is none, what needs a knob that is off, what is not to be searched, and whatever
    has one value only. Where an attempt has one answer and no trial, a higher temperature is no `first`
    idea."""
    knobs = {name: knob for name, knob in harness.knobs.items() if _movable(name, knob, harness)}
    others = {name: _others(knob) for name, knob in knobs.items()}
    if first and not trials and "temperature" in knobs:
        live = knobs["temperature"].value
        lower = [value for value in others["temperature"] if _number(value) < _number(live)]
        others["temperature"] = tuple(lower)
    others = {name: values for name, values in others.items() if values}
    idle = {name for name in others if _does_nothing(knobs[name], harness, others)}
    live_setting = {name: knob.value for name, knob in knobs.items()}
    return Space(knobs, live_setting, {name: others[name] for name in others if name not in idle})


def _movable(name: str, knob: Knob, harness: Harness) -> bool:
    idle = name.startswith("pin_") or ("exemplar" in name and not harness.exemplars)
    return knob.searched and bool(_others(knob)) and not idle


def _does_nothing(knob: Knob, harness: Harness, others: Mapping[str, object]) -> bool:
    """Whether the knob that it needs is off, and stays so in this design."""
    return bool(knob.needs) and not harness.knobs[knob.needs].value and knob.needs not in others


def _others(knob: Knob) -> tuple[KnobValue, ...]:
    if knob.kind == "choice":
        values = list(knob.choices or [])
    elif knob.low is None or knob.high is None:
        values = []
    else:
        middle = (knob.low + knob.high) / 2
        values = [int(x) if knob.kind == "int" else round(x, 4) for x in (knob.low, middle, knob.high)]
    others = [value for value in dict.fromkeys(values) if value != knob.value]
    return tuple(others[:: -(-len(others) // MOST_LEVELS)]) if others else ()


def likeness(knob: Knob, one: KnobValue, other: KnobValue) -> float:
    """From 0 (unrelated) to 1 (the same): of an ordered knob, near levels are alike."""
    same = float(one == other)
    span = _place(knob, one), _place(knob, other)
    if span[0] is None or span[1] is None:
        return same
    return HALF * same + (1 - HALF) * (1 - abs(span[0] - span[1]))


def _place(knob: Knob, value: KnobValue) -> float | None:
    """Where a value lies between the lowest (0) and the highest (1); None where values have no order."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if knob.kind != "choice":
        if knob.low is None or knob.high is None:
            return None
        return (value - knob.low) / (knob.high - knob.low)
    choices = knob.choices or []
    if any(isinstance(choice, bool | str) for choice in choices):
        return None
    ordered = sorted(choices, key=_number)
    return ordered.index(value) / (len(ordered) - 1) if value in ordered and len(ordered) > 1 else None


def _number(value: KnobValue) -> float:
    return float(value) if isinstance(value, int | float) else 0.0

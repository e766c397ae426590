"""The tests that a task may ask for, by name: what each claims, what it assumes, and what it finds in the
differences of a confirmation. Pure: a finding recomputes from the numbers alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from shared.decisions.evidence.betting import e_value
from shared.decisions.evidence.discordant import tally
from shared.decisions.evidence.graded import LAST, LEAST, passed, passes


@dataclass(frozen=True)
class Terms:
    """Fixed before the first pair is seen. `min_effect` and `bound` are in units of the score."""

    alpha: float
    min_effect: float
    bound: float  # a difference lies in [-bound, bound]
    max_pairs: int


@dataclass(frozen=True)
class Finding:
    passed: bool
    e_value: float  # against 1 / alpha
    detail: str = ""  # what else the test looked at


@dataclass(frozen=True)
class Claim:
    """A test of whether the mean gain over the task's instances, each instance counting alike, is real."""

    assumes: str  # in plain words; stated wherever the test decides
    look: Callable[[Sequence[float], Terms], Finding]


def _graded(differences: Sequence[float], terms: Terms) -> Finding:
    if not differences:
        return Finding(False, 1.0)
    evidence, wealth, line = passes(differences, terms.alpha, terms.min_effect, terms.bound, terms.max_pairs)
    done = passed(evidence, wealth, line, terms.alpha)
    at = int(done.argmax()) if done[-1] else -1  # where it passed, else where it stands
    return Finding(
        bool(done[-1]),
        math.exp(min(float(evidence[at]), 700.0)),
        f"unseen losses {math.exp(float(wealth[at])):.3g} of {math.exp(float(line[at])):.3g}",
    )


def _right_or_wrong(differences: Sequence[float], terms: Terms) -> Finding:
    found = tally(differences, terms.alpha, terms.min_effect, terms.bound, terms.max_pairs)
    line = "no line yet" if found.line is None else f"{found.line} asked for"
    detail = f"{found.won} won and {found.lost} lost of the pairs that differ, {line}"
    return Finding(found.passed, 1.0 / terms.alpha if found.passed else 0.0, detail)


def _betting(differences: Sequence[float], terms: Terms) -> Finding:
    evidence = e_value(differences, terms.bound, terms.min_effect)
    return Finding(evidence >= 1.0 / terms.alpha, evidence)


CLAIMS: dict[str, Claim] = {
    "graded": Claim(
        "assumes that ordinary differences lie evenly about their mean, and allows for rare great losses "
        f"(without the assumption: {1 / LEAST / LAST:.1f} alpha at most)",
        _graded,
    ),
    "right_or_wrong": Claim("assumes nothing about the scores but their bounds", _right_or_wrong),
    "betting": Claim("assumes nothing about the scores but their bounds", _betting),
}


def could_pass(name: str, differences: Sequence[float], terms: Terms, hope: float) -> bool:
    """Whether it would pass if the remaining pairs gained `hope` in the mean, with the spread of those so
    far."""
    left = terms.max_pairs - len(differences)
    if name == "right_or_wrong":
        wins = math.ceil(left * min(1.0, max(0.0, hope) / terms.bound))
        rest = [terms.bound] * wins + [0.0] * (left - wins)
    else:
        spread = min(float(np.std(differences)), terms.bound - hope)
        rest = [hope + spread * (-1) ** index for index in range(left)]
    rest = [min(terms.bound, max(-terms.bound, value)) for value in rest]
    return CLAIMS[name].look([*differences, *rest], terms).passed

"""Metrics that compare an answer with the right one: 1 is right, 0 is wrong, f1 lies between."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

MOST_CHARS = 4000  # of an answer that a pattern is searched in
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*(?:[eE][-+]?\d+)?")


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def exact(answer: str, right: str) -> float:
    """The same text, but for white space around it and between words."""
    return float(answer.split() == right.split())


def contains(answer: str, right: str) -> float:
    """The right answer stands somewhere in it, as whole words."""
    found, wanted = words(answer), words(right)
    places = range(len(found) - len(wanted) + 1)
    return float(bool(wanted) and any(found[i : i + len(wanted)] == wanted for i in places))


def f1(answer: str, right: str) -> float:
    """Harmonic mean of precision and recall over words, each counted as often as it occurs."""
    found, wanted = Counter(words(answer)), Counter(words(right))
    shared = (found & wanted).total()
    return 2 * shared / (found.total() + wanted.total()) if shared else 0.0


def numeric(answer: str, right: str) -> float:
    """The last number in it is the right one, to one part in a million."""
    numbers = NUMBER.findall(answer)
    if not numbers:
        return 0.0
    value, wanted = float(numbers[-1].replace(",", "")), float(right.replace(",", ""))
    return float(abs(value - wanted) <= 1e-6 * max(1.0, abs(wanted)))


def regex(answer: str, right: str) -> float:
    """The right answer is a pattern that is found in it."""
    return float(re.search(right, answer[:MOST_CHARS]) is not None)


METRICS: dict[str, Callable[[str, str], float]] = {
    "exact": exact,
    "contains": contains,
    "f1": f1,
    "numeric": numeric,
    "regex": regex,
}

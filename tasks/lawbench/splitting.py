"""From cases to splits that do not leak: what is refused and why, which cases the gate gets, which ones
scaffolds may read with their charges. Everything hangs on the cases and a fixed seed.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from reading import Case
from sklearn.feature_extraction.text import HashingVectorizer

NEAR = 0.8  # cosine of character 4-grams from which two facts count as the same case
BLOCK = 256  # facts compared at a time
SEED = 0
PUBLIC_CASES = 12  # of one charge: more skewed data is no help (README.md)
GATE_SHARE = 3  # at most one in so many of a charge's cases go to the gate
TEST_SHARE = 5  # ... to the test, where the source has no test file


@dataclass
class Refusals:
    """Rows that were left out: how many for which reason, and the first few by name."""

    reasons: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def keep(self, cases: Sequence[Case], why: Callable[[int, Case], str]) -> list[Case]:
        """The cases that have no reason against them."""
        kept = []
        for number, case in enumerate(cases):
            reason = why(number, case)
            if reason:
                self.reasons[reason].append(case["id"])
            else:
                kept.append(case)
        return kept

    def as_json(self) -> dict[str, dict[str, object]]:
        return {reason: {"count": len(ids), "first": ids[:5]} for reason, ids in self.reasons.items()}


def content_fault(case: Case) -> str:
    if not case["fact"].strip():
        return "empty fact"
    return "" if case["charges"] else "no charge"


def clean_train(train: list[Case], held_out: list[Case], labels: list[str], refusals: Refusals) -> list[Case]:
    """Train cases that have a fact and known charges, and stand neither twice nor, nearly, in a held-out file."""
    known = set(labels)
    train = refusals.keep(train, lambda _, case: content_fault(case))
    train = refusals.keep(train, lambda _, case: _strange(case, known))
    seen: set[str] = set()

    def again(_: int, case: Case) -> str:
        fact = case["fact"].strip()
        if fact in seen:
            return "the same fact twice"
        seen.add(fact)
        return ""

    train = refusals.keep(train, again)
    if not held_out:
        return train
    nearest = nearest_cosine(train, held_out)
    return refusals.keep(
        train, lambda number, _: "stands, nearly or exactly, in a held-out file" if nearest[number] >= NEAR else ""
    )


def _strange(case: Case, known: set[str]) -> str:
    strange = [name for name in case["charges"] if name not in known]
    return f"charge not in the list: {strange[0]}" if strange else ""


def nearest_cosine(cases: Sequence[Case], others: Sequence[Case], *, same: bool = False) -> NDArray[np.float64]:
    """For each case the cosine of the nearest other fact. `same`: both are one list; a case is not its own."""
    vectorizer = HashingVectorizer(analyzer="char", ngram_range=(4, 4), alternate_sign=False, dtype=np.float32)
    theirs = vectorizer.transform([case["fact"] for case in others])
    mine = theirs if same else vectorizer.transform([case["fact"] for case in cases])
    nearest = np.zeros(len(cases))
    for start in range(0, len(cases), BLOCK):
        cosine = (mine[start : start + BLOCK] @ theirs.T).toarray()
        if same:
            rows = np.arange(cosine.shape[0])
            cosine[rows, start + rows] = 0.0
        nearest[start : start + BLOCK] = cosine.max(axis=1)
    return nearest


def take_balanced(cases: Sequence[Case], most: int, share: int, cap: int = 1 << 30) -> set[int]:
    """Positions of at most `most` cases: in turn one of each charge, at most one in `share` of a charge's and
    at most `cap` of it. A case belongs to the rarest of its charges."""
    counts = Counter(name for case in cases for name in case["charges"])
    rng = random.Random(SEED)
    by_charge: defaultdict[str, list[int]] = defaultdict(list)
    for position in rng.sample(range(len(cases)), len(cases)):
        by_charge[min(cases[position]["charges"], key=lambda name: (counts[name], name))].append(position)
    room = {name: min(cap, len(found) // share) for name, found in by_charge.items()}
    taken: list[int] = []
    charges = sorted(by_charge)
    while charges and len(taken) < most:
        charges = [name for name in charges if room[name] > 0]
        for name in charges:
            taken.append(by_charge[name].pop())
            room[name] -= 1
    return set(taken[:most])


def split_off(cases: list[Case], most: int, share: int) -> tuple[list[Case], list[Case]]:
    """(taken, the rest). A case that nearly stands among the rest is not taken: it would leak."""
    chosen = take_balanced(cases, most, share)
    nearest = nearest_cosine(cases, cases, same=True)
    taken = {position for position in chosen if nearest[position] < NEAR}
    rest = [case for position, case in enumerate(cases) if position not in taken]
    return [cases[position] for position in sorted(taken)], rest

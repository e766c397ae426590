"""Direct preference optimisation (arXiv 2305.18290): within a group the better of two samples is preferred;
by how much does not matter. For verifiers that can rank but not score. The reference is the policy that
sampled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trainer_service.algorithms.algorithm import Algorithm, Graded, Taught
from trainer_service.algorithms.grouping import SINGLE, TIE, positions_by_group


def pairs(graded: Graded) -> list[tuple[int, int]]:
    """(better, worse) of each group: the best with the worst, the second with the last but one, and so on.
    Lone samples are not compared: they were asked different things."""
    found: list[tuple[int, int]] = []
    for group, where in positions_by_group(graded.groups).items():
        if group != SINGLE:
            found += _pairs_within(where, graded.rewards)
    return found


def _pairs_within(where: Sequence[int], rewards: Sequence[float]) -> Iterator[tuple[int, int]]:
    ranked = sorted(where, key=lambda i: (-rewards[i], i))
    for better, worse in zip(ranked, reversed(ranked), strict=True):
        if rewards[better] - rewards[worse] <= TIE * max(abs(rewards[better]), abs(rewards[worse])):
            return
        yield better, worse


def teach(graded: Graded) -> Taught:
    return [lesson for better, worse in pairs(graded) for lesson in ((better, 1.0), (worse, -1.0))]


ALGORITHM = Algorithm(teach, loss="preference", unit=2, rate=0.3)

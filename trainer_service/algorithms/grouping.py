"""Rewards made comparable across groups. A group is all samples that started alike: the same instance, and
the same parent attempt or none. Starts differ in how much can be earned from them, so what counts is a reward
minus its group's mean.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer_service.algorithms.algorithm import Graded

SINGLE = "the groups of one"  # compared with each other, since nothing nearer exists
TIE = 1e-9  # of the batch's spread: differences below it are rounding


def positions_by_group(groups: Sequence[str]) -> dict[str, list[int]]:
    """Where each group's samples stand; all groups of one sample count as one group."""
    positions: dict[str, list[int]] = {}
    for position, group in enumerate(groups):
        positions.setdefault(group, []).append(position)
    alone = [where[0] for where in positions.values() if len(where) == 1]
    shared = {group: where for group, where in positions.items() if len(where) > 1}
    return shared | ({SINGLE: alone} if alone else {})


def centre(graded: Graded) -> list[float]:
    """Each reward minus the mean of its group. A lone sample with a baseline is measured against that: one
    that merely repeats its parent has earned nothing."""
    centred = [0.0] * len(graded.rewards)
    for group, where in positions_by_group(graded.groups).items():
        plain = where
        if group == SINGLE:
            plain = [i for i in where if graded.baseline(i) is None]
        mean = sum(graded.rewards[i] for i in plain) / len(plain) if plain else 0.0
        for i in where:
            baseline = graded.baseline(i) if group == SINGLE else None
            centred[i] = graded.rewards[i] - (mean if baseline is None else baseline)
    return without_rounding(centred, graded.rewards)


def leave_one_out(graded: Graded) -> list[float]:
    """Each reward minus the mean of the others in its group (RLOO, arXiv 2402.14740): without bias."""
    values = centre(graded)
    for group, where in positions_by_group(graded.groups).items():
        compared = [i for i in where if group != SINGLE or graded.baseline(i) is None]
        for i in compared:
            values[i] *= len(compared) / (len(compared) - 1) if len(compared) > 1 else 0.0
    return values


def without_rounding(values: Sequence[float], rewards: Sequence[float]) -> list[float]:
    """The values with rounding errors set to zero, so that equal rewards teach nothing at all."""
    scale = max((abs(reward) for reward in rewards), default=0.0)
    return [value if abs(value) > TIE * scale else 0.0 for value in values]

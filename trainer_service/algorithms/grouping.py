"""Rewards made comparable across groups. A group is all samples that were asked about one instance, and
instances differ in how much can be earned on them, so what counts is a reward minus its group's mean.
"""

from __future__ import annotations

from collections.abc import Sequence

SINGLE = "the groups of one"  # compare with each other, for want of anything nearer


def positions_by_group(groups: Sequence[str]) -> dict[str, list[int]]:
    """Where each group's samples stand; all groups of one sample count as one group."""
    positions: dict[str, list[int]] = {}
    for position, group in enumerate(groups):
        positions.setdefault(group, []).append(position)
    alone = [where[0] for where in positions.values() if len(where) == 1]
    shared = {group: where for group, where in positions.items() if len(where) > 1}
    return shared | ({SINGLE: alone} if alone else {})


def centre(rewards: Sequence[float], groups: Sequence[str]) -> list[float]:
    """Each reward minus the mean of its group."""
    centred = [0.0] * len(rewards)
    for where in positions_by_group(groups).values():
        mean = sum(rewards[i] for i in where) / len(where)
        for i in where:
            centred[i] = rewards[i] - mean
    return centred

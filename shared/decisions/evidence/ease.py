"""How much easier or harder an instance is than the others of its generation, from the scores of the attempts
on it. What tells a good reply from a lucky instance; nothing here reads a gate or test instance.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from shared.messages.records import AttemptState


def eases_of(
    attempts: Iterable[AttemptState], scores: Callable[[AttemptState], Sequence[float]]
) -> dict[str, float]:
    """By an attempt's group: what its instance adds to a score. Attempts that were offered a parent are
    compared among themselves: what a parent is worth to all of them is no ease."""
    kinds: dict[bool, defaultdict[str, list[float]]] = {True: defaultdict(list), False: defaultdict(list)}
    for attempt in attempts:
        if found := scores(attempt):
            kinds[attempt.plan.parent is not None][attempt.plan.group].extend(found)
    return eases(kinds[True]) | eases(kinds[False])


def eases(groups: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Best linear predictions of random effects (Searle, Casella and McCulloch 1992, Variance Components, 3.6
    and 7.4): a group's mean less that of all, times t / (t + w / n). t is the variance between groups and w
    the one within, both by moments. All 0 where no group has two scores, or there is one group only."""
    sizes = {key: len(scores) for key, scores in groups.items()}
    total, free = sum(sizes.values()), sum(sizes.values()) - len(sizes)
    if len(groups) < 2 or free < 1:
        return dict.fromkeys(groups, 0.0)
    means = {key: math.fsum(scores) / len(scores) for key, scores in groups.items()}
    mean = math.fsum(score for scores in groups.values() for score in scores) / total
    within = math.fsum((score - means[key]) ** 2 for key, scores in groups.items() for score in scores) / free
    spread = math.fsum(n * (means[key] - mean) ** 2 for key, n in sizes.items()) / (len(groups) - 1)
    typical = (total - sum(n * n for n in sizes.values()) / total) / (len(groups) - 1)
    between = max(0.0, (spread - within) / typical)
    if between == 0.0:
        return dict.fromkeys(groups, 0.0)
    return {key: (means[key] - mean) * between / (between + within / sizes[key]) for key in groups}

"""A generation's design, rung by rung: half of its attempts screen all open knobs at once, a quarter compares
four settings, the rest compares two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from feedback_service.design.array import rows, spread
from feedback_service.design.contenders import Changed, Study, contenders, open_levels

SHARES = (0.5, 0.25, 0.25)  # of the attempts, by rung
KEPT = (0, 4, 2)  # settings that a later rung compares
RUNGS = len(SHARES)


@dataclass(frozen=True)
class Trial:
    """A setting, and the instances (by number) that it runs on."""

    changed: Changed
    instances: tuple[int, ...]


def next_rung(study: Study, rung: int, attempts: int, instances: Sequence[str], seed: int) -> list[Trial]:
    """The trials of a rung, on a generation's train instances: none where nothing is left to find out. Each
    is paired with the live setting's attempt on that instance, which has the same seed."""
    if rung >= RUNGS or attempts < RUNGS or not instances:
        return []
    share = int(attempts * SHARES[rung])
    if rung == 0:
        others = open_levels(study)
        if not others:
            return []
        drawn = rows(others, share, seed)
        runs = spread(len(drawn), share, len(instances), seed)
        return [Trial(row, run) for row, run in zip(drawn, runs, strict=True) if run]
    kept = contenders(study, KEPT[rung])
    return _compared(study, kept, share, instances)


def _compared(study: Study, kept: Sequence[Changed], attempts: int, instances: Sequence[str]) -> list[Trial]:
    """All of them on the same instances, those first on which they ran least; none twice on one."""
    if not kept:
        return []
    ran = {
        (item.instance, repr(sorted(study.space.moved(item.settings).items()))) for item in study.observations
    }
    keys = [repr(sorted(changed.items())) for changed in kept]
    counts = [sum((name, key) in ran for key in keys) for name in instances]
    order = sorted(range(len(instances)), key=lambda number: counts[number])
    chosen = order[: max(1, attempts // len(kept))]
    trials = []
    for changed, key in zip(kept, keys, strict=True):
        fresh = tuple(sorted(number for number in chosen if (instances[number], key) not in ran))
        if fresh:
            trials.append(Trial(changed, fresh))
    return trials

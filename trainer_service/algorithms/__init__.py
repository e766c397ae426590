"""The trainer's menu: one file an algorithm, one line each in ALGORITHMS. Plain Python, no torch.

An algorithm turns rewards into one weight a sample, and names the objective (loss.py) that the weights go
into. A weight of zero teaches nothing, and such samples are left out before any forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.errors import TrainingError
from trainer_service.algorithms import best_of_n, entropic

Weigh = Callable[[Sequence[float], Sequence[str]], list[float]]  # (rewards, groups) -> weights


@dataclass(frozen=True)
class Algorithm:
    weigh: Weigh
    objective: str  # a key of loss.OBJECTIVES


ALGORITHMS: dict[str, Algorithm] = {
    "best_of_n": Algorithm(best_of_n.weigh, "cloning"),
    "entropic": Algorithm(entropic.weigh, "clipped"),
}


def find(name: str) -> Algorithm:
    """The algorithm of that name. Raises TrainingError that lists the known ones."""
    if name not in ALGORITHMS:
        raise TrainingError(f"unknown algorithm {name!r}", f"known: {', '.join(sorted(ALGORITHMS))}")
    return ALGORITHMS[name]

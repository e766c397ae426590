"""The trainer's menu: one file an algorithm, one line each in ALGORITHMS. Plain Python, no torch.

docs/weights.md describes which one is chosen when.
"""

from __future__ import annotations

from shared.errors import TrainingError
from trainer_service.algorithms import best_of_n, dpo, entropic, grpo, ppo, reinforce, supervised
from trainer_service.algorithms.algorithm import Algorithm

ALGORITHMS: dict[str, Algorithm] = {
    "best_of_n": best_of_n.ALGORITHM,
    "dpo": dpo.ALGORITHM,
    "entropic": entropic.ALGORITHM,
    "grpo": grpo.ALGORITHM,
    "ppo": ppo.ALGORITHM,
    "reinforce": reinforce.ALGORITHM,
    "supervised": supervised.ALGORITHM,
}


def find(name: str) -> Algorithm:
    """The algorithm of that name. Raises TrainingError that lists the known ones."""
    if name not in ALGORITHMS:
        raise TrainingError(f"unknown algorithm {name!r}", f"known: {', '.join(sorted(ALGORITHMS))}")
    return ALGORITHMS[name]

"""REINFORCE with a penalty on the divergence from the base model. The baseline of a sample is the mean reward
of the others in its group; the importance ratio is truncated and carries no gradient of its own.
"""

from __future__ import annotations

from trainer_service.algorithms.algorithm import Algorithm, Graded, Taught, nonzero
from trainer_service.algorithms.grouping import leave_one_out


def weigh(graded: Graded) -> list[float]:
    return leave_one_out(graded)


def teach(graded: Graded) -> Taught:
    return nonzero(weigh(graded))


ALGORITHM = Algorithm(teach, loss="truncated", passes=2)  # only the ratio keeps it near its samples

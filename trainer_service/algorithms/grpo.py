"""GRPO (arXiv 2402.03300) with the corrections of Dr. GRPO (arXiv 2503.20783): the advantage is the reward
minus the group's mean and is not divided by the group's standard deviation, which would blow up groups whose
rewards hardly differ; and a step's loss is divided by a constant length instead of each sample's own, which
would favour long wrong answers (training/steps.py).
"""

from __future__ import annotations

from trainer_service.algorithms.algorithm import Algorithm, Graded, Taught, nonzero
from trainer_service.algorithms.grouping import centre


def weigh(graded: Graded) -> list[float]:
    return centre(graded)


def teach(graded: Graded) -> Taught:
    return nonzero(weigh(graded))


ALGORITHM = Algorithm(teach, loss="clipped")

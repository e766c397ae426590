"""Best-of-N behaviour cloning: cross-entropy on the best quarter of a generation's samples.

Best means: furthest above the mean of its own group, over the whole batch. A sample at or below its group's
mean is never cloned, so groups with one reward throughout teach nothing, whether all won or all failed.
"""

from __future__ import annotations

import math

from trainer_service.algorithms.algorithm import Algorithm, Graded, Taught, nonzero
from trainer_service.algorithms.grouping import centre

FRACTION = 0.25


def weigh(graded: Graded) -> list[float]:
    """1 for the best quarter (rounded up; ties by position), 0 for the rest."""
    centred = centre(graded)
    above = [i for i, value in enumerate(centred) if value > 0]
    keep = math.ceil(FRACTION * len(centred))
    best = set(sorted(above, key=lambda i: (-centred[i], i))[:keep])
    return [float(i in best) for i in range(len(centred))]


def teach(graded: Graded) -> Taught:
    return nonzero(weigh(graded))


ALGORITHM = Algorithm(teach, loss="cloning")

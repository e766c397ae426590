"""Best-of-N behaviour cloning: cross-entropy on the best quarter of a generation's samples.

Best means: furthest above the mean of its own group, over the whole batch. A sample at or below its group's
mean is never cloned, so groups with one reward throughout teach nothing, whether all won or all failed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainer_service.algorithms.grouping import centre

FRACTION = 0.25


def weigh(rewards: Sequence[float], groups: Sequence[str]) -> list[float]:
    """1 for the best quarter (rounded up; ties by position), 0 for the rest."""
    centred = centre(rewards, groups)
    spread = max(rewards, default=0.0) - min(rewards, default=0.0)
    above = [i for i, value in enumerate(centred) if value > 1e-9 * spread]
    keep = math.ceil(FRACTION * len(rewards))
    best = set(sorted(above, key=lambda i: (-centred[i], i))[:keep])
    return [float(i in best) for i in range(len(rewards))]

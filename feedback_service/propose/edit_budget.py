"""How many edits one patch may hold: a textual learning rate (SkillOpt, arXiv 2605.23904). It falls from many
to few along a half cosine over the run's generations, so that late patches are small enough for the gate to
tell what helped.
"""

from __future__ import annotations

import math

MOST, FEWEST = 6, 2
SCHEDULED = 12  # generations over which it falls, where the run may have more


def edit_budget(generation: int, generations: int) -> int:
    """Of generation 1, 2, ... of a run of at most `generations`."""
    last = min(generations, SCHEDULED) - 1
    share = min(1.0, (generation - 1) / last) if last > 0 else 0.0
    return round(FEWEST + (MOST - FEWEST) * (1 + math.cos(math.pi * share)) / 2)

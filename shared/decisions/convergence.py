"""The run's convergence state, by a stated rule, from its history alone.

exploring: a promotion lies fewer than `window` generations back (the start counts as one). plateau: `window`
or more generations in a row promoted nothing; the analyst then looks farther afield. idle: `idle` or more;
the run ends. A run that was extended starts anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shared.config.settings import ConvergenceSection
from shared.ledger.history.state import RunHistory


@dataclass(frozen=True)
class Convergence:
    state: Literal["exploring", "plateau", "idle"]
    why: str


def convergence(history: RunHistory, rule: ConvergenceSection) -> Convergence:
    decided = [generation.decision for generation in history.generations if generation.decision]
    decided = decided[history.continued_after :]
    barren = next((i for i, decision in enumerate(reversed(decided)) if decision == "promoted"), len(decided))
    why = f"{barren} generations in a row promoted nothing"
    if barren >= rule.idle:
        return Convergence("idle", f"{why} (idle at {rule.idle})")
    if barren >= rule.window:
        return Convergence("plateau", f"{why} (plateau at {rule.window}, idle at {rule.idle})")
    return Convergence("exploring", why)

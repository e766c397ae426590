"""A run's hard caps on tokens and money, checked before each request: what is spent, what is under way and
what the request may cost must fit together.
"""

from __future__ import annotations

import threading
from collections import Counter

from shared.config.settings import BudgetSection
from shared.errors import BudgetSpentError
from shared.messages.records import Cost


class Spending:
    """`spent`: by the run before this job, from its log. `jobs`: how many ask at the same time, each
    with its part of what is left."""

    def __init__(self, budget: BudgetSection, spent: Cost, jobs: int = 1) -> None:
        before = _amounts(spent)
        caps = {"usd": budget.usd, "tokens": float(budget.tokens)}
        self._caps = {name: cap for name, cap in caps.items() if cap}
        self._left = {name: (cap - before[name]) / jobs for name, cap in self._caps.items()}
        self._taken = Counter[str]()  # paid or under way
        self._lock = threading.Lock()

    def reserve(self, most: Cost) -> None:
        """Raises BudgetSpentError where the caps leave no room for `most`."""
        wanted = _amounts(most)
        with self._lock:
            for name, left in self._left.items():
                if self._taken[name] + wanted[name] > left:
                    rest = max(left - self._taken[name], 0)
                    raise BudgetSpentError(
                        f"budget.{name} is {self._caps[name]:g}, and the {rest:.4g} that is left of it "
                        f"may not suffice for the next request ({wanted[name]:.4g})"
                    )
            self._taken.update(wanted)

    def settle(self, most: Cost, paid: Cost) -> None:
        """What was reserved has become what was paid."""
        with self._lock:
            self._taken.subtract(_amounts(most))
            self._taken.update(_amounts(paid))


def _amounts(cost: Cost) -> dict[str, float]:
    return {"usd": cost.usd, "tokens": float(cost.prompt_tokens + cost.completion_tokens)}

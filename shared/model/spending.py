"""A run's hard caps on tokens and money, checked before each request: what is paid, what is under way in any
worker and what the request may cost must fit together.

A cap holds as far as no request costs more than was reserved for it, which is its reply's tokens at most and
an estimate of its prompt's: a run may be over by what an endpoint counts beyond that, for the requests under
way at once. A worker that is killed leaves what it had under way counted.
"""

from __future__ import annotations

import threading
from collections import defaultdict

from shared.config.settings import BudgetSection
from shared.errors import BudgetSpentError
from shared.ledger.spending import Amounts, Counter
from shared.messages.records import Cost


class Spending:
    """`spent`: by the run before this job, from its log. `counter`: the run's, for all of its workers; None:
    no other worker asks, and one in memory is enough."""

    def __init__(self, budget: BudgetSection, spent: Cost, counter: Counter | None = None) -> None:
        caps = {"usd": budget.usd, "tokens": float(budget.tokens)}
        self._caps = {name: cap for name, cap in caps.items() if cap}
        self._before = _amounts(spent)
        self._shared = counter is not None
        self._counter = counter or _Alone()

    def reserve(self, most: Cost) -> None:
        """Raises BudgetSpentError where the caps leave no room for `most`."""
        wanted = _amounts(most)
        taken = self._counter.reserve(self._caps, wanted, self._before) if self._caps else None
        for name, cap in self._caps.items():
            if taken is not None and taken[name] + wanted[name] > cap:
                raise BudgetSpentError(
                    f"budget.{name} is {cap:g}, and the {max(cap - taken[name], 0):.4g} that is left of it "
                    f"may not suffice for the next request ({wanted[name]:.4g})"
                )

    def settle(self, most: Cost, paid: Cost) -> None:
        """What was reserved has become what was paid."""
        reserved, now = _amounts(most), _amounts(paid)
        if self._caps:
            self._counter.change({name: now[name] - reserved[name] for name in now})

    def paid_before(self, paid: Cost) -> None:
        """By an earlier try of this job: the run's counter has it already."""
        if not self._shared:
            self.settle(Cost(), paid)


class _Alone:
    """As Counter, for one process."""

    def __init__(self) -> None:
        self._taken: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def reserve(self, caps: Amounts, wanted: Amounts, before: Amounts) -> dict[str, float] | None:
        with self._lock:
            sums = {name: self._taken[name] + before[name] for name in before}
            if any(sums[name] + wanted[name] > cap for name, cap in caps.items()):
                return sums
            self._add(wanted)
            return None

    def change(self, by: Amounts) -> None:
        with self._lock:
            self._add(by)

    def _add(self, amounts: Amounts) -> None:
        for name, amount in amounts.items():
            self._taken[name] += amount


def _amounts(cost: Cost) -> dict[str, float]:
    return {"usd": cost.usd, "tokens": float(cost.prompt_tokens + cost.completion_tokens)}

"""What a run has used of each kind of budget, beside its limit."""

from __future__ import annotations

from dataclasses import dataclass

from shared.config.settings import RunConfig
from shared.ledger.history.state import RunHistory

UNITS = {"evaluations": "", "tokens": "", "wall_s": " s", "gpu_s": " s", "usd": " US dollars"}


@dataclass(frozen=True)
class Spent:
    """`most` is None where there is no limit."""

    name: str
    used: float
    most: float | None

    @property
    def text(self) -> str:
        """Used, and of how much; with the unit."""
        limit = "no limit" if self.most is None else f"of {_number(self.most)}"
        return f"{_number(self.used)}{UNITS[self.name]}, {limit}"


def spent(history: RunHistory, config: RunConfig) -> list[Spent]:
    """In the order of [budget]. `tokens`: of prompts and replies."""
    cost, budget = history.cost, config.budget
    used = {
        "evaluations": cost.evaluations,
        "tokens": cost.prompt_tokens + cost.completion_tokens,
        "wall_s": history.elapsed_s,
        "gpu_s": cost.gpu_s,
        "usd": cost.usd,
    }
    return [Spent(name, value, getattr(budget, name) or None) for name, value in used.items()]


def _number(value: float) -> str:
    return f"{value:,.2f}".removesuffix(".00")

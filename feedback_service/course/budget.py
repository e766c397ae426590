"""Hard caps of a run, checked before anything is opened. Work that is paid for is never thrown away: a step
is opened only if it fits whole, with room left for the sealed test.

Evaluations are known beforehand, at most. Money is estimated for the first step; later money, prompt tokens
and time are extrapolated from the run so far. Within a rollout, caps on tokens and money are checked before
each request (shared/model/spending.py).
"""

from __future__ import annotations

from shared.config.settings import BudgetSection
from shared.decisions.plan import Step
from shared.ledger.history.state import RunHistory


def over_budget(history: RunHistory, budget: BudgetSection, *steps: Step) -> str:
    """Which cap these steps together would break, in words; empty: they fit."""
    spent = _spent(history)
    for name, foreseen in _foreseen(history, steps).items():
        cap = getattr(budget, name)
        if cap and spent[name] + foreseen > cap:
            what = " and ".join(step.name for step in steps)
            return f"{what} might use {foreseen:,.0f} {name}; {spent[name]:,.0f} of {cap:,.0f} are spent"
    return ""


def training_over_budget(history: RunHistory, budget: BudgetSection, processes: int) -> str:
    """Which cap a weight update by so many processes would break if it cost as much as the dearest so far;
    empty: it fits. A generation's gpu_s holds the replies' too, which are not the update's."""
    past = [generation.cost for generation in history.generations]
    foreseen = {
        "wall_s": max((cost.train_s for cost in past), default=0.0),
        "gpu_s": max((min(cost.gpu_s, cost.train_s * processes) for cost in past), default=0.0),
    }
    spent = _spent(history)
    for name, more in foreseen.items():
        cap = getattr(budget, name)
        if cap and spent[name] + more >= cap:
            return f"a weight update might use {more:,.0f} {name}; {spent[name]:,.0f} of {cap:,.0f} are spent"
    return ""


def _spent(history: RunHistory) -> dict[str, float]:
    cost = history.cost
    return {
        "evaluations": cost.evaluations,
        "tokens": cost.prompt_tokens + cost.completion_tokens,
        "wall_s": history.elapsed_s,
        "gpu_s": cost.gpu_s,
        "usd": cost.usd,
    }


def _foreseen(history: RunHistory, steps: tuple[Step, ...]) -> dict[str, float]:
    evaluations = sum(step.evaluations for step in steps)
    so_far = history.cost.evaluations
    share = evaluations / so_far if so_far else 0.0
    return {
        "evaluations": evaluations,
        "tokens": sum(step.tokens for step in steps) + share * history.cost.prompt_tokens,
        "wall_s": share * history.elapsed_s,
        "gpu_s": share * history.cost.gpu_s,
        "usd": share * history.cost.usd if so_far else sum(step.usd for step in steps),
    }

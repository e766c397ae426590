"""Hard caps of a run, looked at before anything is opened. Work that is paid for is never thrown away: a step
is opened only if it fits whole, with room left for the sealed test.

Evaluations are known beforehand, at most. Prompt tokens and money are estimated for the first step, and then
foreseen at the rate of the run so far, as time is. Within a rollout, caps on tokens and money are looked at
before each request (shared/model/spending.py).
"""

from __future__ import annotations

from shared.config.settings import BudgetSection
from shared.decisions.plan import Step
from shared.ledger.history import RunHistory


def over_budget(history: RunHistory, budget: BudgetSection, *steps: Step) -> str:
    """Which cap these steps together would break, in words; empty: they fit."""
    spent = _spent(history)
    for name, foreseen in _foreseen(history, steps).items():
        cap = getattr(budget, name)
        if cap and spent[name] + foreseen > cap:
            what = " and ".join(step.name for step in steps)
            return f"{what} might use {foreseen:,.0f} {name}; {spent[name]:,.0f} of {cap:,.0f} are spent"
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
    prompt_tokens = share * history.cost.prompt_tokens or sum(step.prompt_tokens for step in steps)
    return {
        "evaluations": evaluations,
        "tokens": sum(step.tokens for step in steps) + prompt_tokens,
        "wall_s": share * history.elapsed_s,
        "gpu_s": share * history.cost.gpu_s,
        "usd": share * history.cost.usd if so_far else sum(step.usd for step in steps),
    }

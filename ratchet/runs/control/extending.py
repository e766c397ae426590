"""`ratchet extend`: higher limits for a run. One that had ended in order continues from where it was; nothing
that is stored is paid again."""

from __future__ import annotations

from collections.abc import Sequence

from ratchet.runs.folder import RunFolder
from shared.config.settings import BudgetSection, RunConfig, load_config, parse_override
from shared.errors import SettingsError
from shared.ledger.history.folding import fold
from shared.ledger.history.state import RunHistory
from shared.ledger.steering import reopening
from shared.store.store import get_record, put_json

RAISABLE = ("budget", "convergence")  # sections that --set may name


def extend(folder: RunFolder, generations: int | None, overrides: Sequence[str]) -> str:
    """A line that describes what was done. Raises SettingsError for a wrong state, a limit that would be
    lower, or limits with which the run would end at once."""
    ledger, store = folder.open_ledger(), folder.open_store()
    history = fold(ledger.events(folder.run_id))
    if not history.config or history.evaluation is not None:
        raise SettingsError(f"{folder.run_id} is no run that has begun", "`ratchet resume` begins one")
    old = get_record(store, history.config, RunConfig)
    new = _raised(old, generations, overrides)
    _require_room(folder.run_id, history, old, new)
    before, after = old.run.generations, new.run.generations
    reopening.extend(ledger, folder.run_id, put_json(store, new), before, after)
    return f"{folder.run_id} may do {after} generations{_budget_text(new.budget)}"


def _raised(old: RunConfig, generations: int | None, overrides: Sequence[str]) -> RunConfig:
    layers = [parse_override(text) for text in overrides]
    for layer in layers:
        if strange := [name for name in layer if name not in RAISABLE]:
            hint = f"--generations, and --set of {' and '.join(RAISABLE)}; for more, `ratchet run --from`"
            raise SettingsError(f"{strange[0]} can't change within a run", hint)
    if generations is not None:
        layers.append({"run": {"generations": generations}})
    new = load_config([old.model_dump(mode="json"), *layers])
    if new.run.generations < old.run.generations:
        raise SettingsError(f"the run may do {old.run.generations} generations already", "name more")
    for name in BudgetSection.model_fields:
        had, has = getattr(old.budget, name), getattr(new.budget, name)
        if has and (has < had or not had):
            raise SettingsError(
                f"budget.{name} is {had or 'without a limit'}, and {has} is lower", "limits only rise"
            )
    return new


def _require_room(run: str, history: RunHistory, old: RunConfig, new: RunConfig) -> None:
    decided = sum(bool(one.decision) for one in history.generations)
    if history.finished and decided >= new.run.generations:
        raise SettingsError(
            f"all {decided} generations of {run} are done", f"--generations {decided + 1}, or more"
        )
    if history.state == "budget" and old.budget == new.budget:
        raise SettingsError(f"the budget of {run} is spent: {history.why}", "--set budget.tokens=..., say")
    if not history.finished and old == new:
        raise SettingsError(f"{run} has not ended, and no limit was named", "--generations N")


def _budget_text(budget: BudgetSection) -> str:
    caps = [f"{name} {cap:,.6g}" for name, cap in budget.model_dump().items() if cap]
    return f", and use {', '.join(caps)}" if caps else ""

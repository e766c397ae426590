"""Runs a comparison: a whole run or search for each arm and seed under one budget. Arms take turns within a
seed, and the order turns with the seed, so that a machine that slows down affects all arms alike. Finished
ones are reused.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ratchet.compare.arms import BEST_OF_N, CompareArm
from ratchet.compare.baseline import score_baseline
from ratchet.compare.best_of_n import run_best_of_n, with_n
from ratchet.compare.checks import require_possible
from ratchet.compare.search import run_search
from ratchet.runs import start
from ratchet.runs.folder import RunFolder, find, names
from ratchet.runs.request import RunRequest
from shared.config.settings import BudgetSection, RunConfig, load_config
from shared.decisions import plan
from shared.errors import RatchetError, SettingsError
from shared.ledger.history.folding import fold
from shared.tasks.task import Task, load_task, task_of


@dataclass(frozen=True)
class Study:
    """`config`: of every run, before an arm's settings and its seed. `budget`: of one run, screens,
    confirmations and sealed test included."""

    config: RunConfig
    arms: Sequence[CompareArm]
    seeds: int
    budget: BudgetSection
    root: Path


def order(arms: Sequence[CompareArm], seeds: int) -> Iterator[tuple[CompareArm, int]]:
    for seed in range(seeds):
        first = seed % len(arms)
        for arm in [*arms[first:], *arms[:first]]:
            yield arm, seed


def folder_name(arm: CompareArm, seed: int) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", arm.name)
    return f"{plain}-seed{seed}"


def run_study(study: Study, note: Callable[[str], None]) -> None:
    """Every run and search, finished. What was done before is not done again; a run under other settings is
    refused."""
    _settle(study)
    planned = list(order(study.arms, study.seeds))
    for number, (arm, seed) in enumerate(planned, start=1):
        config = config_of(study, arm, seed)
        path = study.root / folder_name(arm, seed)
        note(f"{number} of {len(planned)}, {path.name}: {path}")
        if arm.is_search:
            run_search(arm.name, config, path, note)
        elif arm.name == BEST_OF_N:
            run_best_of_n(config, path)
        elif arm.baseline:
            score_baseline(arm.baseline, config, path)
        else:
            folder = _folder(study, path.name, config)
            start.drive(folder, start.stack_of(folder), lambda: None, note)
            _demand_done(folder)


def _demand_done(folder: RunFolder) -> None:
    """A comparison with a run that failed would say something of another thing. Raises RatchetError."""
    history = fold(folder.open_ledger().events(folder.run_id))
    if history.state in ("done", "budget"):
        return
    what = "remove the cause" if history.state == "failed" else f"move {folder.path} away for a new run"
    raise RatchetError(
        f"{folder.run_id} ended as {history.state}: {history.why}",
        f"{what}; the same command then continues the comparison",
    )


def config_of(study: Study, arm: CompareArm, seed: int) -> RunConfig:
    """The budget ends a run. How many generations it may hold decides how alpha is spent, so no more are
    announced than that."""
    fixed = {"budget": study.budget.model_dump(mode="json"), "run": {"seed": seed}}
    config = load_config([study.config.model_dump(mode="json"), arm.layer, fixed])
    most = most_generations(config, task_of(config))
    ended = {"run": {"generations": most}, "convergence": {"idle": most}}
    config = load_config([config.model_dump(mode="json"), ended])
    return with_n(config) if arm.name == BEST_OF_N else config


def most_generations(config: RunConfig, task: Task) -> int:
    """That the budget's evaluations may hold, the sealed test kept aside, where each costs as little as it
    can: one evaluation an attempt, no design, and a screen that shows no gain. A run of such generations must
    not end before its budget."""
    least = plan.train_step(config, task).attempts + plan.screen_step(config, task).attempts
    left = config.budget.evaluations - plan.test_step(config, task, releases=2).evaluations
    return max(1, left // max(1, least))


def _settle(study: Study) -> None:
    """Store the comparison's settings; refuse to continue it under others. Arms and seeds may be added."""
    there = names(study.root)
    for arm in study.arms:
        begun = all(folder_name(arm, seed) in there for seed in range(study.seeds))
        require_possible(arm, config_of(study, arm, 0), begun)
    file = study.root / "study.json"
    stored = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    arms = {arm.name: arm.layer for arm in study.arms}
    shown = {
        "config": study.config.model_dump(mode="json"),
        "budget": study.budget.model_dump(mode="json"),
        "arms": {**stored.get("arms", {}), **arms},
    }
    same = all(stored.get(key, shown[key]) == shown[key] for key in ("config", "budget"))
    if not same or any(stored.get("arms", {}).get(name, layer) != layer for name, layer in arms.items()):
        raise SettingsError(f"{study.root} holds a comparison with other settings", "choose another --name")
    study.root.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(shown, indent=2) + "\n", encoding="utf-8")


def _folder(study: Study, name: str, config: RunConfig) -> RunFolder:
    if name in names(study.root):
        return find(name, study.root)
    _drop_half_made(study.root / name)
    request = RunRequest(config, load_task(config.run.task).name, study.root, name)
    return start.create(request, start.stack_for(request))


def _drop_half_made(path: Path) -> None:
    """A run's folder without a ledger: the process that made it was killed before the run began."""
    if path.is_dir() and {entry.name for entry in path.iterdir()} <= {"config.json"}:
        shutil.rmtree(path)

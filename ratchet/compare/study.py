"""Runs a comparison: a whole run or search for each arm and seed under one budget. Arms take turns within a
seed, and the order turns with the seed, so that a machine that slows down affects all arms alike. Finished
ones are reused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ratchet.compare.arms import BEST_OF_N, CompareArm
from ratchet.compare.baseline import require_baseline, score_baseline
from ratchet.compare.best_of_n import run_best_of_n, with_n
from ratchet.compare.search import read_space, run_search
from ratchet.runs import start
from ratchet.runs.folder import RunFolder, find, names
from ratchet.runs.request import RunRequest
from shared.config.settings import BudgetSection, RunConfig, load_config
from shared.errors import RatchetError, SettingsError
from shared.ledger.history import fold
from shared.tasks.task import load_task, task_of


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
    if history.state not in ("done", "budget"):
        raise RatchetError(
            f"{folder.run_id} ended as {history.state}: {history.why}",
            "remove the cause; the same command then continues the comparison",
        )


def config_of(study: Study, arm: CompareArm, seed: int) -> RunConfig:
    """The budget ends a run: it has as many generations as the budget has train attempts for."""
    most = max(1, study.budget.evaluations // study.config.rollouts.instances)
    fixed = {
        "budget": study.budget.model_dump(mode="json"),
        "run": {"seed": seed, "generations": most},
        "convergence": {"idle": most},
    }
    config = load_config([study.config.model_dump(mode="json"), arm.layer, fixed])
    return with_n(config) if arm.name == BEST_OF_N else config


def _settle(study: Study) -> None:
    """Store the comparison's settings; refuse to continue it under others. Arms and seeds may be added."""
    for arm in study.arms:  # what can't be done is said before anything is paid for
        config_of(study, arm, 0)
        if arm.is_search:
            read_space(task_of(study.config))
        if arm.baseline:
            require_baseline(arm.baseline, task_of(study.config))
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
    request = RunRequest(config, load_task(config.run.task).name, study.root, name)
    return start.create(request, start.stack_for(request))

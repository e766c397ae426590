"""Runs a comparison: a whole run for each arm and seed under one budget. Arms take turns within a seed, and
the order turns with the seed, so that a machine that slows down affects all arms alike. Finished runs are
reused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ratchet.compare.arms import CompareArm
from ratchet.runs import start
from ratchet.runs.folder import RunFolder, find, names
from ratchet.runs.request import RunRequest
from shared.config.settings import RunConfig, load_config
from shared.errors import SettingsError
from shared.tasks.task import load_task

MOST_GENERATIONS = 10_000  # the budget ends a run, not their number


@dataclass(frozen=True)
class Study:
    """`config`: of every run, before an arm's settings and its seed. `evaluations`: the budget of one run,
    screens, confirmations and sealed test included."""

    config: RunConfig
    arms: Sequence[CompareArm]
    seeds: int
    evaluations: int
    root: Path


def order(arms: Sequence[CompareArm], seeds: int) -> Iterator[tuple[CompareArm, int]]:
    for seed in range(seeds):
        first = seed % len(arms)
        for arm in [*arms[first:], *arms[:first]]:
            yield arm, seed


def run_name(arm: CompareArm, seed: int) -> str:
    return f"{arm.name}-seed{seed}"


def run_study(study: Study, note: Callable[[str], None]) -> dict[tuple[str, int], RunFolder]:
    """Every run, finished. What was done before is not done again; a run under other settings is refused."""
    _settle(study)
    found = {}
    for arm, seed in order(study.arms, study.seeds):
        config = config_of(study, arm, seed)
        folder = _folder(study, arm, seed, config)
        note(f"{folder.run_id}: {folder.path}")
        start.drive(folder, start.stack_of(folder), lambda: None, note)
        found[arm.name, seed] = folder
    return found


def config_of(study: Study, arm: CompareArm, seed: int) -> RunConfig:
    budget = {
        "budget": {"evaluations": study.evaluations},
        "run": {"seed": seed, "generations": MOST_GENERATIONS},
        "convergence": {"idle": MOST_GENERATIONS},
    }
    return load_config([study.config.model_dump(mode="json"), arm.layer, budget])


def _settle(study: Study) -> None:
    """Store the comparison's settings; refuse to continue it under other ones. More seeds may be added."""
    shown = {
        "config": study.config.model_dump(mode="json"),
        "arms": {arm.name: arm.layer for arm in study.arms},
        "evaluations": study.evaluations,
    }
    file = study.root / "study.json"
    if not file.exists():
        study.root.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(shown, indent=2) + "\n", encoding="utf-8")
    elif json.loads(file.read_text(encoding="utf-8")) != shown:
        raise SettingsError(f"{study.root} holds a comparison with other settings", "choose another --name")


def _folder(study: Study, arm: CompareArm, seed: int, config: RunConfig) -> RunFolder:
    name = run_name(arm, seed)
    if name in names(study.root):
        return find(name, study.root)
    request = RunRequest(config, load_task(config.run.task).name, study.root, name)
    return start.create(request, start.stack_for(request))

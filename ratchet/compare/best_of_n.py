"""The arm best-of-n: the whole budget on the sealed instances, as many tries of the first release for each as
it holds, and no learning. What n means a task says itself (`[best_of_n]` in its task.toml).
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

from ratchet.compare.outcome import is_finished, write_outcome
from ratchet.runs import evaluate
from ratchet.runs import folder as runs
from ratchet.runs.endpoint import settle
from ratchet.runs.folder import RunFolder
from ratchet.runs.request import RunRequest
from shared.config.settings import RunConfig, load_config
from shared.decisions.pool import sealed_instances
from shared.errors import LostInstancesError, SettingsError
from shared.ledger.history.folding import fold
from shared.ledger.steering.reopening import OPEN
from shared.tasks.draws import draw
from shared.tasks.task import task_of


def with_n(config: RunConfig) -> RunConfig:
    """The run's settings with as many tries as its evaluations hold, and the answer's own evaluation."""
    task = task_of(config)
    if not task.manifest.best_of_n:
        raise SettingsError(
            f"{task.name} does not say what best of n is", "[best_of_n] in its task.toml does"
        )
    n = max(config.budget.evaluations // config.gate.test_instances - 1, 1)
    no_training = {"run": {"levers": "harness"}}  # no endpoint is asked for adapters
    return load_config([config.model_dump(mode="json"), _replaced(task.manifest.best_of_n, n), no_training])


def run_best_of_n(config: RunConfig, folder: Path) -> None:
    """An evaluation of the first release on the run's sealed instances, a run of its own; what it measured is
    in the folder."""
    if is_finished(folder):
        return
    task, run = task_of(config), open_try(config, folder)
    sealed = sealed_instances(config, task, partial(draw, task))
    found = evaluate.request(run, run.config(), None, sealed)
    if found["lost"]:
        raise LostInstancesError(found["why"], f"logs are in {found['logs']}")
    history = fold(run.open_ledger().events(run.run_id))
    tokens = history.cost.prompt_tokens + history.cost.completion_tokens
    scores = {row["id"]: row["score"] for row in found["instances"]}
    write_outcome(folder, scores, history.cost.evaluations, history.elapsed_s, tokens=tokens)


def open_try(config: RunConfig, folder: Path) -> RunFolder:
    """The evaluation's run: the last one where that was interrupted, else a new one, with the next number,
    whose settings are as its endpoint needs them."""
    begun = [
        name for name in runs.names(folder.parent) if re.fullmatch(rf"{re.escape(folder.name)}-\d+", name)
    ]
    if begun:
        last = runs.find(max(begun, key=lambda name: int(name.rpartition("-")[2])), folder.parent)
        if last.open_ledger().run_state(last.run_id) in OPEN:
            return last
    settled, _ = settle(config, task_of(config))
    return runs.create(RunRequest(settled, label=folder.name, root=folder.parent))


def _replaced(layer: Any, n: int) -> Any:
    """A task's settings with every "N" replaced by the number."""
    if isinstance(layer, dict):
        return {name: _replaced(value, n) for name, value in layer.items()}
    return n if layer == "N" else layer

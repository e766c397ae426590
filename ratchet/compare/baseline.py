"""The arm baseline:NAME: one of the task's own baselines (baselines.py), without a model, scored on the run's
sealed instances.
"""

from __future__ import annotations

import json
import time
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ratchet.compare.outcome import is_finished, write_outcome
from ratchet.tasks.task_data import baselines
from shared.config.settings import RunConfig
from shared.decisions.arms import instance_key
from shared.decisions.pool import sealed_instances
from shared.errors import SettingsError
from shared.messages.records import JsonObject
from shared.tasks.draws import draw
from shared.tasks.task import Task, load_task, task_of


@lru_cache(maxsize=1)  # one program scores all baselines: once for all arms that take turns within a seed
def _all_scored(task: str, instances: str) -> dict[str, list[dict[str, Any]]]:
    return baselines(load_task(task), json.loads(instances))


def score_baseline(name: str, config: RunConfig, folder: Path) -> None:
    """What it measured is in the folder; a finished one is left as it is."""
    if is_finished(folder):
        return
    task, started_s = task_of(config), time.monotonic()
    sealed = sealed_instances(config, task, partial(draw, task))
    rows = zip(sealed, _scored(name, task, sealed), strict=True)
    scores = {instance_key(instance): row["score"] for instance, row in rows}
    write_outcome(folder, scores, len(scores), time.monotonic() - started_s)


def require_baseline(name: str, task: Task) -> None:
    """Raises SettingsError where the task has no such baseline, with those that it has."""
    _scored(name, task, draw(task, "train", 1, 0))


def _scored(name: str, task: Task, instances: list[JsonObject]) -> list[dict[str, Any]]:
    found = _all_scored(task.reference, json.dumps(instances))
    if name not in found:
        known = ", ".join(found) or "none: a baselines.py in its folder would have some"
        raise SettingsError(f"{task.name} has no baseline {name!r}", f"it has: {known}")
    return found[name]

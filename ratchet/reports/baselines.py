"""The scores of a task's baselines.py on a finished run's sealed test, for the report: what is reached
without the loop, and how far the last release is above it. It decides nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

from ratchet.runs.comparing import compared
from ratchet.tasks import task_data
from shared.decisions.arms import instance_key
from shared.ledger.history.state import RunHistory
from shared.messages.records import JsonObject
from shared.store.store import Store, get_json
from shared.tasks.task import Task


def of_test(task: Task, history: RunHistory, store: Store, kept: Path) -> JsonObject:
    """{name: {score, metrics, release_minus_it}}; {} where there is no test or the task has no baselines.
    `kept` is the file that remembers them: they never change."""
    rollout = history.all[0].rollouts.get(("test", 0)) if history.finished and 0 in history.all else None
    if rollout is None or history.test is None or task.program("baselines.py") is None:
        return {}
    if not kept.exists():
        rows = _rows(get_json(store, rollout.opened.instances), get_json(store, history.test))
        found = task_data.baselines(task, [row["instance"] for row in rows])
        kept.write_text(
            json.dumps(compared(rows, found)["baselines"], indent=1, ensure_ascii=False), encoding="utf-8"
        )
    known: JsonObject = json.loads(kept.read_text(encoding="utf-8"))
    return known


def _rows(instances: list[JsonObject], test: JsonObject) -> list[JsonObject]:
    """The last release's scores; null for an instance that was lost."""
    last = list(test["scores"].values())[-1]
    scores = dict(zip(test["instances"], last, strict=True))
    return [{"instance": one, "score": scores.get(instance_key(one))} for one in instances]

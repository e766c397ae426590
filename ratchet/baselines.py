"""What a task's baselines.py scores, as intervals: beside an evaluation, and in a finished run's report. A
baseline decides nothing; it says what can be had without the loop.
"""

from __future__ import annotations

import json
from pathlib import Path

from feedback_service.intervals import metric_intervals, t_interval
from ratchet import task_data
from shared.history import RunHistory
from shared.records import JsonObject
from shared.store import Store, get_json
from shared.task import ScoreSection, Task


def beside(task: Task, instances: list[JsonObject]) -> JsonObject:
    """{name: {score: interval, metrics: {name: interval}}}; {} where the task has no baselines."""
    bounds = task.manifest.score
    return {name: _intervals(rows, bounds) for name, rows in task_data.baselines(task, instances).items()}


def of_test(task: Task, history: RunHistory, store: Store, kept: Path) -> JsonObject:
    """The same on a finished run's sealed test. `kept` is the file that remembers them: they never change."""
    rollout = history.all[0].rollouts.get(("test", 0)) if history.finished and 0 in history.all else None
    if rollout is None or task.program("baselines.py") is None:
        return {}
    if not kept.exists():
        found = beside(task, get_json(store, rollout.opened.instances))
        kept.write_text(json.dumps(found, indent=1, ensure_ascii=False))
    known: JsonObject = json.loads(kept.read_text())
    return known


def _intervals(rows: list[JsonObject], bounds: ScoreSection) -> JsonObject:
    return {
        "score": t_interval([row["score"] for row in rows], bounds.low, bounds.high).model_dump(mode="json"),
        "metrics": metric_intervals([row.get("metrics", {}) for row in rows]),
    }

"""The pictures that a task draws itself for a run's report: its own program pictures.py, if it has one.

They are made of the sealed test instances, so only once the run has finished, when nothing can be chosen by
them any more. A picture that can't be drawn is a line in the log; the report is written without it.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

from ratchet.runs.findings import Best
from shared.ledger.history.state import RunHistory
from shared.messages.records import JsonObject
from shared.store.store import Store, get_json
from shared.tasks.task import Task

TIMEOUT_S = 900
_log = logging.getLogger(__name__)


def draw(task: Task, history: RunHistory, store: Store, best: Best | None, folder: Path) -> list[JsonObject]:
    """[{"file", "caption"}] of what now lies in `folder`."""
    program, instances = task.program("pictures.py"), tested(history, store)
    if program is None or not instances:
        return []
    asked = {"instances": instances, "best": best.candidate.content if best else None}
    command = [sys.executable, str(program), str(task.folder), str(folder)]
    try:
        done = subprocess.run(
            command, input=json.dumps(asked), capture_output=True, encoding="utf-8", timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        _log.warning("%s: pictures.py took longer than %d s", task.name, TIMEOUT_S)
        return []
    if done.returncode != 0:
        _log.warning("%s: pictures.py failed: %s", task.name, done.stderr.strip()[-800:])
        return []
    found: list[JsonObject] = json.loads(done.stdout)
    return [picture for picture in found if (folder / Path(str(picture["file"])).name).is_file()]


def tested(history: RunHistory, store: Store) -> list[JsonObject]:
    """The instances of the run's final test; none before it is over."""
    if not history.finished or 0 not in history.all:
        return []
    rollouts = [rollout for (purpose, _), rollout in history.all[0].rollouts.items() if purpose == "test"]
    return list(get_json(store, rollouts[0].opened.instances)) if rollouts else []

"""Ratchet from Python: `import ratchet; run = ratchet.run("trimul", budget=500)` (docs/python.md).

Names are loaded on first use, so that `import ratchet` and `ratchet --help` cost nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ratchet.api.evaluation import Evaluation as Evaluation
    from ratchet.api.evaluation import evaluate as evaluate
    from ratchet.api.own_task import Task as Task
    from ratchet.api.own_task import task as task
    from ratchet.api.release import ReleaseHandle as ReleaseHandle
    from ratchet.api.run import Run as Run
    from ratchet.api.run import list_runs as list_runs
    from ratchet.api.run import open_run as open_run
    from ratchet.api.run import run as run
    from shared.errors import RatchetError as RatchetError

_FROM = {
    "Evaluation": "ratchet.api.evaluation",
    "evaluate": "ratchet.api.evaluation",
    "Task": "ratchet.api.own_task",
    "task": "ratchet.api.own_task",
    "ReleaseHandle": "ratchet.api.release",
    "Run": "ratchet.api.run",
    "list_runs": "ratchet.api.run",
    "open_run": "ratchet.api.run",
    "run": "ratchet.api.run",
    "RatchetError": "shared.errors",
}
__all__ = [
    "Evaluation",
    "RatchetError",
    "ReleaseHandle",
    "Run",
    "Task",
    "evaluate",
    "list_runs",
    "open_run",
    "run",
    "task",
]


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module 'ratchet' has no attribute {name!r}")
    return getattr(importlib.import_module(_FROM[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Shared parts of the tests of the intents task: its folder, its modules, and its data.py in this process."""

import contextlib
import io
import json
from pathlib import Path
from types import ModuleType

from shared.tasks.task import TASKS
from tests.parts.task_modules import load_module

FOLDER = TASKS / "intents"


def load(name: str) -> ModuleType:
    return load_module(FOLDER, name)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def ask(operation: str, source: Path, into: Path, monkeypatch, wanted: dict | None = None):
    """(exit code, stdout, stderr) of data.py."""
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(wanted or {})))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = load("data.py").main([operation, str(source), str(into)])
    return code, out.getvalue(), err.getvalue()

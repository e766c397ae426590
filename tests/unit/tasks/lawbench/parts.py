"""Shared parts of the tests of the LawBench task: its folder, its modules, and cases that are not of the real
data."""

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from shared.tasks.task import TASKS
from tests.parts.task_modules import load_module

FOLDER = TASKS / "lawbench"


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


def load(name: str) -> ModuleType:
    """A module of the task's folder; it may import the ones beside it."""
    return load_module(FOLDER, name)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write(path: Path, rows: list, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(encoding))
    return path


def ask(operation: str, source: Path, into: Path) -> Done:
    """The output of data.py, without the two seconds that a process of its own takes to import
    scikit-learn."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = load("data.py").main([operation, str(source), str(into)])
    return Done(code, out.getvalue(), err.getvalue())

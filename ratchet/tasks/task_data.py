"""Binds data to a task: a copy of the task's folder into which the task's own program `data.py` imports it.

The copy is an ordinary task folder, so everything that reads task folders (verifier, cache, seed model,
resume) needs to know nothing of data. docs/tasks.md states what data.py must do; it runs as its own process.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from shared.config.settings import RunConfig
from shared.errors import SettingsError
from shared.messages.records import JsonObject
from shared.tasks.draws import last_line, where
from shared.tasks.task import TASKS, Task, find_task, load_task

IMPORT_TIMEOUT_S = 1800
MADE_FROM = "made_from"  # in a bound copy: the reference of the task that it was made from


def create(task: Task, source: Path, folder: Path, config: RunConfig) -> JsonObject:
    """A bound copy at `folder`, which must not exist; returns data.py's summary. Raises SettingsError."""
    if folder.exists():
        raise SettingsError(f"{folder} exists", "bound tasks are never overwritten: choose another folder")
    with _copy(task, folder.parent) as copy:
        summary: JsonObject = _json(task, "data.py", _ask(task, "import", source, copy, wanted(config)))
        copy.rename(folder)
    return {"task": task.name, "folder": str(folder), **summary}


@contextmanager
def bound(task: Task, source: Path | None, root: Path, config: RunConfig) -> Iterator[Path | None]:
    """A bound copy under `root` while the caller moves it to its place; None where there is no data."""
    if source is None:
        if moved := {name for name, value in config.data.items() if value != _known(task).get(name)}:
            raise SettingsError(f"data.{min(moved)} is a setting of an import", "give --data as well")
        yield None
        return
    with _copy(task, root) as copy:
        summary = _json(task, "data.py", _ask(task, "import", source, copy, wanted(config)))
        for line in import_notes(summary):
            print(line, file=sys.stderr)
        yield copy


def import_notes(summary: JsonObject) -> list[str]:
    """What an import left out and how it read the rest, a line each, to be printed."""
    refused = summary.get("refused") or []
    if isinstance(refused, dict):
        refused = [
            f"{reason}: {found['count']} ({', '.join(found['first'])})" for reason, found in refused.items()
        ]
    return [
        *(f"refused: {line}" for line in refused),
        *(f"note: {line}" for line in summary.get("warnings") or []),
    ]


def check_settings(task: Task, config: RunConfig) -> None:
    """Raises SettingsError for a key of [data] that the task's data.py does not have."""
    if strange := set(config.data) - set(_known(task)):
        known = ", ".join(_known(task)) or "none"
        raise SettingsError(f"data: task {task.name!r} has no setting {min(strange)!r}", f"it has: {known}")


def wanted(config: RunConfig) -> str:
    """What an import reads on stdin: the task's own settings, and how many gate and test instances the run
    can use at most (each gate instance serves once)."""
    gate = config.run.generations * (config.gate.screen_instances + config.gate.max_pairs)
    return json.dumps({**config.data, "gate": gate, "test": config.gate.test_instances})


def _known(task: Task) -> dict[str, Any]:
    return dict(task.manifest.defaults.get("data", {}))


@contextmanager
def examined(task: Task, source: Path, root: Path) -> Iterator[tuple[Path, list[JsonObject]]]:
    """The public side of the instances in `source`, and a copy that holds what only the verifier may know."""
    with _copy(task, root) as copy:
        lines = _ask(task, "instances", source, copy, "").split("\n")  # splitlines splits at U+2028, too
        instances: list[JsonObject] = [_json(task, "data.py", line) for line in lines if line.strip()]
        if not instances:
            raise SettingsError(
                f"{source} holds no instance for task {task.name!r}", "see the task's README.md"
            )
        yield copy, instances


def baselines(task: Task, instances: list[JsonObject]) -> dict[str, list[dict[str, Any]]]:
    """What the task's baselines.py scores on these instances: a row an instance. {} where a task has none."""
    if task.program("baselines.py") is None:
        return {}
    printed = _run(task, "baselines.py", [str(task.folder)], json.dumps(instances))
    found: dict[str, list[dict[str, Any]]] = _json(task, "baselines.py", printed)
    return found


@contextmanager
def _copy(task: Task, parent: Path) -> Iterator[Path]:
    """A copy of the task's folder under a hidden name; gone afterwards unless it was moved away, and `parent`
    with it where it was made for it."""
    made = not parent.exists()
    parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=parent.resolve(), prefix=".task-"))
    try:
        copy = work / "task"
        shutil.copytree(task.folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
        (copy / MADE_FROM).write_text(f"{task.reference}\n", encoding="utf-8")
        yield copy
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if made:
            with suppress(OSError):  # something else lies in it by now
                parent.rmdir()


def _ask(task: Task, operation: str, source: Path, copy: Path, text: str) -> str:
    if task.program("data.py") is None:
        raise SettingsError(
            f"task {task.name!r} takes no data", f"write {task.folder / 'data.py'}; docs/tasks.md shows how"
        )
    if not source.exists():
        raise SettingsError(f"no such file or folder: {source}")
    return _run(task, "data.py", [operation, str(source.resolve()), str(copy)], text)


def _run(task: Task, program: str, arguments: list[str], text: str) -> str:
    """The program's stdout. Exit code 2 is the user's mistake, with the message on stderr; what a program
    that succeeded wrote there is printed."""
    command = [sys.executable, str(task.folder / program), *arguments]
    try:
        done = subprocess.run(
            command,
            input=text.encode(),
            capture_output=True,
            timeout=IMPORT_TIMEOUT_S,
            env={**os.environ, "PYTHONIOENCODING": "utf-8:backslashreplace"},
        )
    except subprocess.TimeoutExpired:
        raise SettingsError(f"{task.name}: {program} took longer than {IMPORT_TIMEOUT_S} s") from None
    stderr = done.stderr.decode(errors="replace").strip()[-1500:]
    if done.returncode == 2:
        raise SettingsError(stderr)
    if done.returncode != 0:
        reason = last_line(stderr) or f"exit code {done.returncode}"
        raise SettingsError(f"{task.name}: {program} failed: {reason}", where(stderr))
    if stderr and program == "data.py":
        print(stderr, file=sys.stderr)
    return done.stdout.decode(errors="replace")


def _json(task: Task, program: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        raise SettingsError(
            f"{task.name}: {program} printed what is no JSON: {text.strip()[:200]!r}",
            "print nothing else to stdout: progress belongs on stderr",
        ) from None


def load_bound(task: str, config_task: str) -> Task:
    """The task that a run was made on, where it is `task` or a bound copy made from it. Raises SettingsError
    where it is another one, be it of the same name."""
    wanted, own = find_task(task), load_task(config_task)
    if wanted.reference in _ancestry(own):
        return own
    if wanted.name != own.name:
        raise SettingsError(f"that release was made for task {own.name!r}, not {wanted.name!r}")
    raise SettingsError(
        f"that release was made for the task {own.name!r} in {own.folder}, not the one in {wanted.folder}",
        f"ratchet eval {own.reference} ...",
    )


def _ancestry(task: Task) -> list[str]:
    """Its reference, then that of the task which it is a copy of, and so on."""
    found, folder = [task.reference], task.folder
    while (note := folder / MADE_FROM).is_file():
        reference = note.read_text(encoding="utf-8").strip()
        if reference in found:
            break
        found.append(reference)
        folder = Path(reference) if Path(reference).is_absolute() else TASKS / reference
    return found

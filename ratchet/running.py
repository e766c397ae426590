"""Starts a run or goes on with one: config, folder, ledger, local stack, live view, report.

It decides nothing about the loop: it says RunStarted and reads the event log until RunFinished.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import typer

from ratchet import runs, tables
from ratchet.runs import RunFolder
from shared.errors import RatchetError, SettingsError, ToolMissingError
from shared.events import Message, RunStarted
from shared.ledger import Ledger
from shared.settings import RunConfig, StackSettings, load_config, parse_override, read_toml
from shared.store import open_store, put_json
from shared.task import Task, load_task

POLL_S = 0.5


def resolve_config(task: str, file: Path | None, overrides: list[str], levers: str | None) -> RunConfig:
    """Task defaults, then the user's file, then --set and --levers. Raises SettingsError."""
    loaded = load_task(task)
    name = loaded.name if loaded.folder.parent.name == "tasks" else str(loaded.folder)
    layers: list[dict[str, Any]] = [loaded.manifest.defaults, read_toml(file) if file else {}]
    layers += [parse_override(text) for text in overrides]
    layers.append({"run": {"task": name} | ({"levers": levers} if levers else {})})
    return load_config(layers)


def print_plan(config: RunConfig, as_json: bool) -> None:
    """The resolved config and what each step will cost at most."""
    from feedback_service.plan import plan

    steps = plan(config, load_task(config.run.task))
    if as_json:
        typer.echo(
            json.dumps({"config": config.model_dump(), "steps": [vars(step) for step in steps]}, indent=2)
        )
        return
    typer.echo(json.dumps(config.model_dump(), indent=2))
    tables.print_steps(steps)


def run(config: RunConfig, root: Path, name: str, as_json: bool) -> None:
    task = load_task(config.run.task)
    require_tools(task)
    folder = runs.create(root, name, task.name, config)
    ledger = Ledger(folder.ledger_url)
    ledger.create_schema()
    ledger.create_run(folder.run_id)
    digest = put_json(open_store(str(folder.store)), config)
    if not as_json:
        from feedback_service.plan import plan

        typer.echo(f"run {folder.run_id} in {folder.path}")
        tables.print_steps(plan(config, task))
    drive(folder, ledger, RunStarted(run_id=folder.run_id, config=digest), live=not as_json)
    finish(folder, as_json)


def resume(folder: RunFolder, as_json: bool) -> None:
    ledger = Ledger(folder.ledger_url)
    if ledger.run_state(folder.run_id) == "running":
        require_tools(load_task(folder.config().run.task))
        drive(folder, ledger, None, live=not as_json)
    finish(folder, as_json)


def drive(
    folder: RunFolder, ledger: Ledger, first: Message | None, live: bool, store: Path | None = None
) -> None:
    """Keep the local stack up until the run has finished. `first` starts it; None: it goes on."""
    from ratchet.stack import LocalStack
    from ratchet.watching import View

    with LocalStack(folder.path, stack_settings(folder, store)) as stack, View(folder, live) as view:
        if first is not None:
            stack.ring(ledger.submit([first]))
        while ledger.run_state(folder.run_id) == "running":
            stack.tick()
            view.refresh()
            time.sleep(POLL_S)
        view.refresh()


def stack_settings(folder: RunFolder, store: Path | None = None) -> StackSettings:
    """A local stack's settings. `store`: another run's store, whose releases are to be evaluated."""
    return StackSettings(
        ledger_url=folder.ledger_url,
        store_url=str(store or folder.store),
        broker_url="",  # the stack starts its own
        cache_dir=folder.path.parent / ".cache",
    )


def require_tools(task: Task) -> None:
    """Refuse early what would refuse late. Raises ToolMissingError (no compiler), BoxNotWholeError."""
    from shared.box import open_box

    if task.manifest.toolchain == "c" and shutil.which("gcc") is None:
        raise ToolMissingError(
            f"task {task.name!r} compiles C, and gcc is not installed", "apt-get install gcc"
        )
    open_box()


def finish(folder: RunFolder, as_json: bool) -> None:
    """The result table (or JSON), the report, and a non-zero exit where the run failed."""
    from ratchet import reporting
    from ratchet.show import show_run

    shown = show_run(folder)
    report = reporting.write(folder)
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
    else:
        tables.print_run(shown)
        typer.echo(f"report: {report}")
    if shown["state"] == "failed":
        raise RatchetError(
            f"run {folder.run_id} failed: {shown.get('why', '')}", f"logs are in {folder.path}/logs"
        )


def load_instances(path: Path) -> list[dict[str, Any]]:
    """JSON lines, one object each. Raises SettingsError with the line's number."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"can't read the instances in {path}: {error}", "UTF-8 JSON lines") from None
    instances = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            instance = json.loads(line)
        except json.JSONDecodeError as error:
            raise SettingsError(f"{path}, line {number} is not JSON: {error.msg}") from None
        if not isinstance(instance, dict):
            raise SettingsError(f"{path}, line {number} is no JSON object")
        instances.append({"id": f"{path.stem}-{number}"} | instance)
    if not instances:
        raise SettingsError(f"{path} holds no instance", "write one JSON object a line")
    return instances

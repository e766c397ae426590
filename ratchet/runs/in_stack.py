"""Runs in a stack that stays up: submits one, follows it, goes on following it. Whoever follows may leave:
the stack does the work.
"""

from __future__ import annotations

import time
from pathlib import Path

import typer

from ratchet.runs import folder as runs
from ratchet.runs.folder import RunFolder
from ratchet.stack import state as stacks
from shared.config.secrets import open_ledger, open_store
from shared.config.settings import RunConfig, StackParts, StackSettings
from shared.errors import RatchetError, SettingsError
from shared.ledger import pausing
from shared.ledger.ledger import Ledger
from shared.messages.events import EvaluationRequested, RunStarted
from shared.store.store import put_json
from shared.tasks.task import load_task

POLL_S = 0.5
LOOK_S = 5.0  # between two looks whether the stack is still up


class LeftRunError(RatchetError):
    """Ctrl-C. The run goes on without whoever followed it."""

    exit_code = 130


def run(
    config: RunConfig,
    root: Path,
    name: str,
    stack: Path,
    chosen: StackParts,
    as_json: bool,
    detach: bool,
    data: Path | None = None,
) -> None:
    """Submit a run, and follow it to its end unless told to leave."""
    from ratchet.runs.endpoint import check_advisor, settle_levers
    from ratchet.runs.start import require_tools
    from ratchet.tasks.task_data import bound
    from shared.bus.start_checks import check_parts

    if chosen != StackParts():
        raise SettingsError(
            "a run in a stack uses the stack's ledger, store and broker", "leave --stack out, or the others"
        )
    settings = stacks.require_up(stack)
    for warning in check_parts(settings):
        typer.echo(f"warning: {warning}", err=True)
    task = load_task(config.run.task)
    if stack.is_dir():  # else the workers are on other machines
        require_tools(task)
    elif data is not None:
        raise SettingsError(
            f"the workers of {stack} can't see {data}", "make a task with it (`ratchet data`) where they run"
        )
    config, lost = settle_levers(config)
    check_advisor(config.advisor)
    with bound(task, data, root, config) as own:
        folder = runs.create(root, name, task.name, config, bound=own, stack=stack)
    if lost:
        typer.echo(lost, err=True)
    _start(folder, settings, open_ledger(settings))
    typer.echo(f"run {folder.run_id} in the stack {folder.stack}", err=as_json)
    if not detach:
        follow(folder, as_json)


def resume(folder: RunFolder, as_json: bool) -> None:
    """Follow it again; say RunStarted where whoever submitted it died before that."""
    assert folder.stack is not None
    settings = stacks.require_up(folder.stack)
    ledger = open_ledger(settings)
    said = ledger.events(folder.run_id)
    if said and isinstance(said[0].event, EvaluationRequested):
        raise SettingsError(f"{folder.run_id} is an evaluation", "`ratchet eval` makes it anew")
    if not said:
        _start(folder, settings, ledger)
    pausing.go_on(ledger, folder.run_id)
    follow(folder, as_json)


def follow(folder: RunFolder, as_json: bool) -> None:
    """Show the run until it has ended; then its result and report."""
    from ratchet.runs.start import finish, refuse_paused, resumable

    watch(folder, live=not as_json)
    with resumable(folder):
        refuse_paused(folder, folder.open_ledger())
    finish(folder, as_json)


def watch(folder: RunFolder, live: bool) -> None:
    """Raises LeftRunError on Ctrl-C. A stack that is down and a ledger that is away are waited for."""
    from ratchet.cli.live_view import View

    waiting = ""
    with View(folder, live) as view:
        while True:
            try:
                running = view.ledger.run_state(folder.run_id) == "running"
                view.refresh()
                if not running:
                    return
                trouble = _trouble(folder)
                time.sleep(LOOK_S if trouble else POLL_S)
            except KeyboardInterrupt:
                raise LeftRunError(
                    f"no longer following {folder.run_id}; it goes on in the stack",
                    f"`ratchet watch {folder.run_id}` follows it, `ratchet stop {folder.run_id}` ends it",
                ) from None
            except RatchetError as error:
                if not error.transient:
                    raise
                trouble = str(error)
            if trouble and trouble != waiting:
                view.console.print(f"waiting: {trouble}", markup=False)
            waiting = trouble


def _start(folder: RunFolder, settings: StackSettings, ledger: Ledger) -> None:
    from shared.bus.celery_app import make_app, ring

    digest = put_json(open_store(settings), folder.config())
    ring(make_app(settings), ledger.submit([RunStarted(run_id=folder.run_id, config=digest)]))


def _trouble(folder: RunFolder) -> str:
    stack = folder.stack
    if stack is not None and stack.is_dir() and not stacks.is_up(stack):
        return f"the stack in {stack} is down: `ratchet up {stack}` starts it, and the run goes on"
    return ""

"""The life of a run, as the command line sees it: create, submit, follow. Where its work is done
(own_stack.py or standing_stack.py) is one choice in it; everything else is the same.

It decides nothing about the loop: it submits RunStarted and reads the event log until RunFinished.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import typer

from ratchet.runs import folder as runs
from ratchet.runs.control.starting_from import copy_release, require_same_model
from ratchet.runs.folder import RunFolder
from ratchet.runs.follow import PausedRunError, Stack, follow
from ratchet.runs.own_stack import OwnStack, how_to_resume, plan_flower
from ratchet.runs.request import RunRequest
from ratchet.runs.standing_stack import StandingStack
from ratchet.tasks.task_data import bound
from shared.errors import RatchetError, SettingsError
from shared.ledger import pausing
from shared.ledger.steering import reopening
from shared.messages.events import EvaluationRequested, RunStarted
from shared.store.store import put_json
from shared.tasks.task import task_of


def stack_for(request: RunRequest) -> Stack:
    """Raises SettingsError where a port that was asked for is taken."""
    if request.stack is not None:
        return StandingStack(request.stack)
    return OwnStack(plan_flower(request.root, request.flower_port))


def stack_of(folder: RunFolder) -> Stack:
    return StandingStack(folder.stack) if folder.stack else OwnStack()


def create(request: RunRequest, stack: Stack) -> RunFolder:
    """Check everything that can be checked now, then make the run's folder. Raises RatchetError."""
    from ratchet.runs.endpoint import settle, without_base
    from trainer_service.base.pretrained import check_source

    task = task_of(request.config)
    stack.check(request, task)
    config, notes = settle(request.config, task)
    config = config if request.origin else without_base(config)  # an origin's model stays its own
    check_source(config.model.base)
    if request.origin:
        require_same_model(request.origin, config)
    with bound(task, request.data, request.root, config) as own:
        folder = runs.create(replace(request, config=config), own)
    if request.origin:
        copy_release(request.origin, folder.open_store())
    for note in notes:
        typer.echo(note, err=True)
    return folder


def submit(folder: RunFolder, stack: Stack) -> None:
    """Have the stack work on the run without following it."""
    first = first_event(folder)
    with stack.attach(folder, first):
        pass


def drive(folder: RunFolder, stack: Stack, refresh: Callable[[], None], note: Callable[[str], None]) -> None:
    """Drive the run from its present state to its end; nothing is done twice. A previous process may have
    died at any line, even before it submitted RunStarted."""
    stack.open_run(folder)
    first = first_event(folder)
    ledger = folder.open_ledger()
    if ledger.run_state(folder.run_id) == "paused":
        from ratchet.runs.endpoint import require_answers

        with _stopping_in_order(folder, stack):
            require_answers(folder.config())
        pausing.go_on(ledger, folder.run_id)
    if ledger.run_state(folder.run_id) == "failed":
        note(f"{reopening.reopen(ledger, folder.run_id)} jobs of a failed run are done again")
    if ledger.run_state(folder.run_id) != "running":
        return
    with _stopping_in_order(folder, stack):
        with stack.attach(folder, first) as attached:
            follow(folder, attached, refresh, note)
        if why := pausing.paused_why(ledger, folder.run_id):
            raise PausedRunError(f"run {folder.run_id} is paused: {why}")


def watch(folder: RunFolder, refresh: Callable[[], None], note: Callable[[str], None]) -> None:
    """Follow a run that another process or a standing stack works on."""
    stack = StandingStack(folder.stack) if folder.stack else _ElsewhereStack()
    try:
        follow(folder, stack, refresh, note)
    except KeyboardInterrupt:
        if isinstance(stack, StandingStack):
            raise stack.interrupted(folder) from None
        raise


class _ElsewhereStack:
    """The own stack of a run, kept going by another process."""

    patience_s = 0.0

    def tick(self) -> None:
        """Nothing to do: the other process keeps it going."""


def first_event(folder: RunFolder) -> RunStarted | None:
    """None where the run has started already."""
    events = folder.open_ledger().events(folder.run_id)
    if events and isinstance(events[0].event, EvaluationRequested):
        raise SettingsError(f"{folder.run_id} is an evaluation", "`ratchet eval` makes it anew")
    if any(isinstance(logged.event, RunStarted) for logged in events):
        return None
    store = folder.open_store()
    started = RunStarted(run_id=folder.run_id, config=put_json(store, folder.config()), **folder.origin())
    needed = (started.start.harness, started.posted) if started.start else ()
    if not all(store.has(digest) for digest in needed if digest):
        raise SettingsError(
            f"the copy of {started.origin} was interrupted", "start the run anew, with another --name"
        )
    return started


@contextmanager
def _stopping_in_order(folder: RunFolder, stack: Stack) -> Iterator[None]:
    """Every error that stops a run before its end gets a hint how to resume it; SIGTERM is Ctrl-C."""
    try:
        with _interrupted_by_sigterm():
            yield
    except KeyboardInterrupt:
        raise stack.interrupted(folder) from None
    except RatchetError as error:
        again = how_to_resume(folder)
        error.hint = f"{error.hint}; then {again}" if error.hint else again
        raise


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """A service manager and `kill` send it; and a script's background job gets no Ctrl-C at all."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

"""A run on a standing stack (`ratchet up`, or a cluster): submitted and followed. It continues without the
process that follows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from ratchet.runs import checks
from ratchet.runs.folder import RunFolder
from ratchet.runs.request import RunRequest
from ratchet.stack import state as stack_state
from shared.config.secrets import open_ledger
from shared.config.settings import StackParts
from shared.errors import RatchetError, SettingsError
from shared.messages.events import Message
from shared.tasks.task import Task


class LeftRunError(RatchetError):
    """Ctrl-C. The run continues in its stack."""

    exit_code = 130


class StackDownError(RatchetError):
    """The stack's supervisor does not run."""

    transient = True


@dataclass(frozen=True)
class StandingStack:
    """`place`: the folder of `ratchet up`, or a TOML file that names a remote stack."""

    place: Path
    patience_s: float = math.inf  # its workers continue, or will when it is up again

    def check(self, request: RunRequest, task: Task) -> None:
        from shared.bus.start_checks import check_parts

        if request.parts != StackParts():
            raise SettingsError(
                "a run in a stack uses the stack's ledger, store and broker",
                "leave --stack out, or the others",
            )
        settings = stack_state.require_up(self.place)
        checks.require_time(request.config, settings.job_limit_s)
        for warning in check_parts(settings):
            typer.echo(f"warning: {warning}", err=True)
        if self.place.is_dir():  # else the workers are on other machines
            checks.require_tools(task)
        elif request.data is not None:
            raise SettingsError(
                f"the workers of {self.place} can't read {request.data}",
                "make a task with it (`ratchet data`) where they run",
            )

    def open_run(self, folder: RunFolder) -> None:
        stack_state.require_up(self.place)  # the run was entered in the stack's ledger when it was created

    @contextmanager
    def attach(self, folder: RunFolder, first: Message | None) -> Iterator[StandingStack]:
        if first is not None:
            from shared.bus.celery_app import make_app, ring

            settings = stack_state.settings_of(self.place)
            ring(make_app(settings), open_ledger(settings).submit([first]))
        yield self

    def tick(self) -> None:
        if self.place.is_dir() and not stack_state.is_up(self.place):
            raise StackDownError(
                f"the stack in {self.place} is down: `ratchet up {self.place}` starts it; the run continues"
            )

    def interrupted(self, folder: RunFolder) -> RatchetError:
        return LeftRunError(
            f"no longer following {folder.run_id}; it continues in the stack",
            f"`ratchet watch {folder.run_id}` follows it, `ratchet stop {folder.run_id}` ends it",
        )

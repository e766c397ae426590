"""Follows a run to its end while a stack does its work: keeps the stack going, shows progress, waits out what
is transient. The two kinds of stack are own_stack.py and standing_stack.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from ratchet.runs.folder import RunFolder
from ratchet.runs.request import RunRequest
from shared.errors import RatchetError
from shared.messages.events import Message
from shared.tasks.task import Task

POLL_S = 0.5
WAIT_S = 5.0  # between two attempts while something is unreachable


class PausedRunError(RatchetError):
    """A job failed for a reason that no retry removes (wrong key, empty account). Paid replies are kept."""

    exit_code = 75


class Attached(Protocol):
    """A stack that works on the run now."""

    @property
    def patience_s(self) -> float:
        """How long transient errors are waited out."""
        ...

    def tick(self) -> None:
        """Keep it going. Raises RatchetError, transient where waiting may help."""
        ...


class Stack(Protocol):
    """Where a run's work is done."""

    def check(self, request: RunRequest, task: Task) -> None:
        """Raises SettingsError or ToolMissingError where the request can't run here."""
        ...

    def open_run(self, folder: RunFolder) -> None:
        """Make sure that the ledger knows the run."""
        ...

    def attach(self, folder: RunFolder, first: Message | None) -> AbstractContextManager[Attached]:
        """Submit `first` (None: the run continues) and work on the run while the context is open."""
        ...

    def interrupted(self, folder: RunFolder) -> RatchetError:
        """What Ctrl-C means for the run."""
        ...


def follow(
    folder: RunFolder, attached: Attached, refresh: Callable[[], None], note: Callable[[str], None]
) -> None:
    """Until the run has ended. `refresh` shows progress; `note` receives, once, what the run waits for."""
    ledger = folder.open_ledger()
    well_at_s, noted = time.monotonic(), ""
    while True:
        trouble = ""
        try:
            running = ledger.run_state(folder.run_id) == "running"
            refresh()
            if not running:
                return
            attached.tick()
            well_at_s = time.monotonic()
        except RatchetError as error:
            if not error.transient or time.monotonic() - well_at_s > attached.patience_s:
                raise
            trouble = str(error)
        if trouble and trouble != noted:
            note(f"waiting: {trouble}")
        noted = trouble
        time.sleep(WAIT_S if trouble else POLL_S)

"""The other runs of a folder that were made on the same task, read from their own ledgers and stores. No
server is asked: a run whose ledger or store is elsewhere counts as not read, and so does what takes too long.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ratchet.runs import folder as runs
from ratchet.runs.folder import RunFolder
from shared.config.settings import RunConfig
from shared.errors import RatchetError
from shared.ledger.history.folding import fold
from shared.ledger.history.state import RunHistory
from shared.ledger.ledger import LoggedEvent
from shared.messages.events import RunStarted
from shared.store.store import Store, get_record
from shared.tasks.task import load_task

WITHIN_S = 3.0  # for all runs of a folder together, newest first


@dataclass(frozen=True)
class OtherRun:
    name: str
    config: RunConfig
    log: list[LoggedEvent]
    store: Store

    def history(self) -> RunHistory:
        return fold(self.log)


@dataclass
class Others:
    """Those of one task. `unread`: runs of which it is not known what they used."""

    runs: list[OtherRun]
    unread: int = 0


def others(root: Path, task: str, but: str = "", within_s: float = WITHIN_S) -> Others:
    """Runs under `root` on the task of this name, without the run `but`."""
    until_s = time.monotonic() + within_s
    found = Others([])
    for folder in _newest_first(root):
        if folder.run_id == but:
            continue
        if time.monotonic() > until_s:
            found.unread += 1
            continue
        try:
            run = _read(folder)
        except (RatchetError, OSError, ValueError):  # a folder that is being made or deleted, an older schema
            found.unread += 1
            continue
        if run is not None and task_name(run.config) == task:
            found.runs.append(run)
    return found


def task_name(config: RunConfig) -> str:
    try:
        return load_task(config.run.task).name
    except RatchetError:  # the task's folder has gone since
        return Path(config.run.task).name


def _newest_first(root: Path) -> Iterator[RunFolder]:
    dated = []
    for name in runs.names(root):
        try:
            dated.append(((root / name).stat().st_mtime, name))
        except OSError:
            continue
    for _, name in sorted(dated, reverse=True):
        yield RunFolder((root / name).resolve())


def _read(folder: RunFolder) -> OtherRun | None:
    """None: it has not started, or is no run but an evaluation. Raises RatchetError where its parts are not
    files of this machine."""
    parts = folder.parts
    ledger, store = parts.ledger_url.removeprefix("sqlite:///"), parts.store_url
    if ledger == parts.ledger_url or "://" in store or not Path(ledger).is_file():
        raise RatchetError(f"the ledger or the store of {folder.run_id} is no file here")
    log = folder.open_ledger().events(folder.run_id)
    started = next((logged.event for logged in log if isinstance(logged.event, RunStarted)), None)
    if started is None:
        return None
    opened = folder.open_store()
    return OtherRun(folder.run_id, get_record(opened, started.config, RunConfig), log, opened)

"""The base models that the runs of a ledger need a server for: read from their logs, unpacked from the store;
no server is started here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from shared.config.secrets import open_ledger, open_store
from shared.config.settings import RunConfig, StackSettings
from shared.errors import RatchetError
from shared.messages.events import BaseFailed, BaseReady, EvaluationRequested, RunStarted
from shared.store.store import get_record, materialize

_log = logging.getLogger(__name__)


class NeededModel(NamedTuple):
    folder: Path
    name: str  # under which the workers ask for it


@dataclass
class _RunLog:
    """What was read of one running run's log."""

    seen: int = 0
    config: str = ""
    base: str = ""  # empty too where an endpoint serves it


class ModelWatch:
    """Reads the logs of the running runs, each event once and none after the base is known."""

    def __init__(self, settings: StackSettings) -> None:
        self.settings = settings
        self.ledger = open_ledger(settings)
        self._logs: dict[str, _RunLog] = {}
        self._unpacked: dict[str, NeededModel] = {}

    @property
    def runs(self) -> set[str]:
        """Those that ran when they were last read."""
        return set(self._logs)

    def needed(self) -> tuple[dict[str, NeededModel], RatchetError | None]:
        """The needed models by their base's digest, and the first error that no retry removes."""
        try:
            states = self.ledger.run_states(self.settings.queue_prefix)
        except RatchetError as error:
            if not error.transient:
                raise
            _log.warning("the runs can't be read: %s", error)
            return self._unpacked, None
        running = [run for run, state in states.items() if state == "running"]
        self._logs = {run: self._logs.get(run, _RunLog()) for run in running}
        needed, failure = dict[str, NeededModel](), None
        for run, log in self._logs.items():
            try:
                self._read(run, log)
                if log.base:
                    needed[log.base] = self._unpack(log)
            except RatchetError as error:
                if error.transient:
                    _log.warning("the model server of %s waits: %s", run, error)
                else:
                    failure = failure or error
        self._unpacked = {base: self._unpacked[base] for base in needed}
        return needed, failure

    def fail(self, base: str, reason: str) -> None:
        """End the runs that need this base: it can't be served, and no retry changes that."""
        runs = [run for run, log in self._logs.items() if log.base == base]
        self.ledger.submit([BaseFailed(run_id=run, reason=reason) for run in runs])

    def _read(self, run: str, log: _RunLog) -> None:
        if log.base:
            return
        for logged in self.ledger.events(run, after=log.seen):
            base = ""
            match logged.event:
                case RunStarted(config=config, start=start):
                    log.config, base = config, start.base if start else ""
                case EvaluationRequested(config=config, release=release):
                    log.config, base = config, release.base if release else ""
                case BaseReady(base=base):
                    pass
            log.base = base if self._is_ours(base, log) else ""
            log.seen = logged.seq
            if log.base:
                return

    def _is_ours(self, base: str, log: _RunLog) -> bool:
        """Whether this stack must serve it: not where the run has an endpoint, though its weights may be
        here."""
        if not base or base.startswith("endpoint:"):
            return False
        return not get_record(open_store(self.settings), log.config, RunConfig).model.url

    def _unpack(self, log: _RunLog) -> NeededModel:
        if log.base not in self._unpacked:
            store = open_store(self.settings)
            name = get_record(store, log.config, RunConfig).model.name
            folder = materialize(store, log.base, self.settings.cache_dir / "bundles")
            self._unpacked[log.base] = NeededModel(folder, name)
        return self._unpacked[log.base]

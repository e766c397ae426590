"""Which model the local stack has to serve: found in the run's log, unpacked from the store; not started."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from shared.events import BaseReady, EvaluationRequested, RunStarted
from shared.secrets import open_ledger, open_store
from shared.settings import RunConfig, StackSettings
from shared.store import get_record, materialize


class ServedModel(NamedTuple):
    folder: Path
    name: str  # under which the workers ask for it


class ModelWatch:
    """Looks through a run's log, each event once, until `settled`: the base model is known."""

    def __init__(self, settings: StackSettings, run_id: str) -> None:
        self.settings = settings
        self.run_id = run_id
        self.ledger = open_ledger(settings)
        self.settled = False
        self._seen = 0
        self._config = ""
        self._base: str | None = None

    def look(self) -> ServedModel | None:
        """The model to serve, once; None: not known yet, or somebody else's. Raises RatchetError."""
        for logged in self.ledger.events(self.run_id, after=self._seen):
            if isinstance(logged.event, RunStarted | EvaluationRequested):
                self._config = logged.event.config
            if isinstance(logged.event, EvaluationRequested) and logged.event.release:
                self._base = logged.event.release.base
            if isinstance(logged.event, BaseReady):
                self._base = logged.event.base
            self._seen = logged.seq
        if self._base is None:
            return None
        model = None if self._base.startswith("endpoint:") else self._unpack(self._base)
        self.settled = True
        return model

    def _unpack(self, base: str) -> ServedModel:
        store = open_store(self.settings)
        name = get_record(store, self._config, RunConfig).model.name
        return ServedModel(materialize(store, base, self.settings.cache_dir), name)

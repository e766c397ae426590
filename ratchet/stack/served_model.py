"""Which base models the runs of a ledger need: found in their logs, unpacked from the store; not started."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from shared.config.secrets import open_ledger, open_store
from shared.config.settings import RunConfig, StackSettings
from shared.errors import RatchetError
from shared.messages.events import BaseReady, EvaluationRequested, RunStarted
from shared.store.store import get_record, materialize

_log = logging.getLogger(__name__)


class NeededModel(NamedTuple):
    folder: Path
    name: str  # under which the workers ask for it


@dataclass
class _Course:
    """What is known of one running run."""

    seen: int = 0
    config: str = ""
    base: str = ""


class ModelWatch:
    """Reads the logs of the running runs, each event once and none after the base is known."""

    def __init__(self, settings: StackSettings) -> None:
        self.settings = settings
        self.ledger = open_ledger(settings)
        self._courses: dict[str, _Course] = {}
        self._unpacked: dict[str, NeededModel] = {}

    @property
    def runs(self) -> set[str]:
        """Those that ran at the last look."""
        return set(self._courses)

    def look(self) -> tuple[dict[str, NeededModel], RatchetError | None]:
        """The needed models by their base's digest, and the first trouble that will not pass."""
        try:
            states = self.ledger.run_states(self.settings.queue_prefix)
        except RatchetError as error:
            if not error.transient:
                raise
            _log.warning("no look at the runs: %s", error)
            return self._unpacked, None
        running = [run for run, state in states.items() if state == "running"]
        self._courses = {run: self._courses.get(run, _Course()) for run in running}
        needed, trouble = dict[str, NeededModel](), None
        for run, course in self._courses.items():
            try:
                self._read(run, course)
                if course.base and not course.base.startswith("endpoint:"):
                    needed[course.base] = self._unpack(course)
            except RatchetError as error:
                if error.transient:
                    _log.warning("the model server of %s waits: %s", run, error)
                else:
                    trouble = trouble or error
        self._unpacked = {base: self._unpacked[base] for base in needed}
        return needed, trouble

    def _read(self, run: str, course: _Course) -> None:
        if course.base:
            return
        for logged in self.ledger.events(run, after=course.seen):
            match logged.event:
                case RunStarted(config=config):
                    course.config = config
                case EvaluationRequested(config=config, release=release):
                    course.config, course.base = config, release.base if release else ""
                case BaseReady(base=base):
                    course.base = base
            course.seen = logged.seq

    def _unpack(self, course: _Course) -> NeededModel:
        if course.base not in self._unpacked:
            store = open_store(self.settings)
            name = get_record(store, course.config, RunConfig).model.name
            folder = materialize(store, course.base, self.settings.cache_dir / "bundles")
            self._unpacked[course.base] = NeededModel(folder, name)
        return self._unpacked[course.base]

"""The runs under one root, as the console reads them: each history is folded once and then kept current."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ratchet.reports.narrate import narrate
from ratchet.reports.trace import ShardTimes
from ratchet.runs.folder import RunFolder, find, names
from shared.errors import RatchetError
from shared.ledger.history.folding import apply
from shared.ledger.history.state import Generation, RunHistory
from shared.ledger.ledger import Ledger, LoggedEvent
from shared.messages.evidence import GateRecord, Interval
from shared.messages.records import ARMS
from shared.store.store import Store, get_record

Arms = dict[str, Interval | None]

SENTENCES = 200  # of the newest events, kept for the page


@dataclass
class RunView:
    """One run. `sentences`: (sequence number, seconds since the start, text) of its newest events."""

    folder: RunFolder
    ledger: Ledger
    store: Store
    history: RunHistory = field(default_factory=RunHistory)
    seq: int = 0
    sentences: list[tuple[int, float, str]] = field(default_factory=list)
    times: ShardTimes = field(default_factory=ShardTimes)
    arms: dict[str, Arms] = field(default_factory=dict)  # by the digest of a decision's evidence: read once
    lock: threading.Lock = field(default_factory=threading.Lock)

    def arms_of(self, generation: Generation) -> Arms:
        """The four arms as the screen measured them; None: an arm that was not, or no decision yet."""
        digest = generation.evidence
        if not digest:
            return dict.fromkeys(ARMS)
        if digest not in self.arms:
            screen = get_record(self.store, digest, GateRecord).screen
            self.arms[digest] = {arm: screen[arm].interval if arm in screen else None for arm in ARMS}
        return self.arms[digest]

    def refresh(self) -> None:
        """Fold the events since the last call."""
        with self.lock, no_garbage_search() if self.seq == 0 else nullcontext():
            log = self.ledger.events(self.folder.run_id, after=self.seq)
            for logged in log:
                apply(self.history, logged.event, logged.at)
                self.times.add(logged.event, logged.at)
                self.seq = logged.seq
            self.sentences = [*self.sentences, *self._told(log)][-SENTENCES:]

    def _told(self, log: list[LoggedEvent]) -> list[tuple[int, float, str]]:
        """The newest sentences of these events, the oldest first."""
        start = self.history.started_at
        told = ((logged.seq, logged.at - start, narrate(logged.event)) for logged in reversed(log))
        return list(islice((row for row in told if row[2]), SENTENCES))[::-1]


@contextmanager
def no_garbage_search() -> Iterator[None]:
    """While a whole log is read, and later among what was made of it: that stays, and looking for garbage
    there takes a third of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Runs:
    """Every run under `root`, opened on first use."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._opened: dict[str, RunView] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        return names(self.root)

    def read_ahead(self) -> None:
        """Fold every run in the background, so that the first page of a long one need not wait for it."""
        threading.Thread(target=self._read_all, daemon=True, name="read-ahead").start()

    def _read_all(self) -> None:
        for name in self.names():
            with suppress(RatchetError):  # its page says why it can't be read
                self.view(name)

    def view(self, name: str) -> RunView:
        """Raises SettingsError for an unknown run."""
        with self._lock:
            if name not in self._opened:
                folder = find(name, self.root)
                self._opened[name] = RunView(folder, folder.open_ledger(), folder.open_store())
        view = self._opened[name]
        view.refresh()
        return view

"""Keeps the leases of jobs while their handlers run, and stops the children of a handler whose lease is lost
all the same. One thread of the process does it: a thread for each job would cost more than most jobs do.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from shared import children
from shared.errors import LedgerError
from shared.ledger.ledger import Claim, Ledger

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Held:
    """One lease while its handler runs. `busy` is held while it is being renewed."""

    ledger: Ledger
    claim: Claim
    due_s: float  # of the next renewal, monotonic
    safe_until_s: float
    lost: threading.Event = field(default_factory=threading.Event)
    busy: threading.Lock = field(default_factory=threading.Lock)
    ended: bool = False

    def renew(self) -> None:
        now_s = time.monotonic()
        self.due_s = now_s + self.ledger.lease_s / 3
        try:
            ours = self.ledger.renew(self.claim.job_id, self.claim.fence)
        except LedgerError as error:
            _log.warning("lease of job %s not renewed yet: %s", self.claim.job_id[:12], error)
            if now_s < self.safe_until_s:
                return
            ours = False
        if not ours:
            _log.warning("lease of job %s is lost; killing its processes", self.claim.job_id[:12])
            self.ended = True
            self.lost.set()
            children.kill_all()
            return
        self.safe_until_s = now_s + self.ledger.lease_s


class _Keeper:
    def __init__(self) -> None:
        self._held: set[_Held] = set()
        self._changed = threading.Condition()
        self._wakes_s = float("inf")  # when the thread looks again by itself
        self._thread: threading.Thread | None = None

    def add(self, held: _Held) -> None:
        with self._changed:
            self._held.add(held)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
            elif held.due_s < self._wakes_s:  # rarely: to wake it for each job costs as much as a thread each
                self._changed.notify()

    def remove(self, held: _Held) -> None:
        """A renewal that is under way ends before this returns."""
        with held.busy:
            held.ended = True
        with self._changed:
            self._held.discard(held)

    def _run(self) -> None:
        while True:
            with self._changed:
                waiting = [held for held in self._held if not held.ended]
                self._wakes_s = min((held.due_s for held in waiting), default=float("inf"))
                if self._wakes_s > time.monotonic():
                    no_end = self._wakes_s == float("inf")
                    self._changed.wait(None if no_end else self._wakes_s - time.monotonic())
                    continue
            for held in waiting:
                with held.busy:
                    if not held.ended and held.due_s <= time.monotonic():
                        held.renew()


_keepers: dict[int, _Keeper] = {}  # by process: a child of a fork has no thread of its parent


@contextmanager
def renewed(ledger: Ledger, claim: Claim) -> Iterator[threading.Event]:
    """Renew the lease until the block ends; the event that this yields is set when it is lost."""
    now_s = time.monotonic()
    held = _Held(ledger, claim, now_s + ledger.lease_s / 3, now_s + ledger.lease_s)
    keeper = _keepers.setdefault(os.getpid(), _Keeper())
    keeper.add(held)
    try:
        yield held.lost
    finally:
        keeper.remove(held)

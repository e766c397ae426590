"""Keeps a job's lease while a handler runs, and stops the handler's children when it is lost all the same."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from shared import children
from shared.errors import LedgerError
from shared.ledger.ledger import Claim, Ledger

_log = logging.getLogger(__name__)


@contextmanager
def renewed(ledger: Ledger, claim: Claim) -> Iterator[threading.Event]:
    """Renew the lease from a thread; the event that this yields is set when it is lost all the same."""
    done, lost = threading.Event(), threading.Event()
    thread = threading.Thread(target=_renew, args=(ledger, claim, done, lost), name="lease", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        done.set()
        thread.join()


def _renew(ledger: Ledger, claim: Claim, done: threading.Event, lost: threading.Event) -> None:
    safe_until_s = time.monotonic() + ledger.lease_s
    while not done.wait(ledger.lease_s / 3):
        now_s = time.monotonic()
        try:
            ours = ledger.renew(claim.job_id, claim.fence)
        except LedgerError as error:
            _log.warning("lease of job %s not renewed yet: %s", claim.job_id[:12], error)
            if now_s < safe_until_s:
                continue
            ours = False
        if not ours:
            _log.warning("lease of job %s is lost; killing its processes", claim.job_id[:12])
            lost.set()
            children.kill_all()
            return
        safe_until_s = now_s + ledger.lease_s

"""Runs one job: claim it in the ledger, decode its event, call the handler, commit the result, publish the
next jobs; on an error retry, give up, hand back or pause. Only here is anything committed.

The transport is Celery (celery_app.py), or none at all (MemoryBus).
"""

from __future__ import annotations

import errno
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from shared import children, tracing
from shared.errors import (
    ChatUnavailableError,
    JobHandedBackError,
    LostLeaseError,
    RatchetError,
    SettingsError,
)
from shared.ledger import pausing
from shared.ledger.lease import renewed
from shared.ledger.ledger import Claim, Ledger, Ring
from shared.messages.events import Message

Handler = Callable[[Any], list[Message]]  # Any: each takes the kind of message that is its key
Handlers = Mapping[type[Message], Handler]
RingBells = Callable[[Sequence[Ring]], None]

LONGEST_BACKOFF_S = 60.0
LONGEST_TRANSIENT_S = 8.0  # ... after a transient error: a server that is back must not wait for its clients
_FULL = (errno.ENOSPC, errno.EDQUOT)  # a full disk is transient
POLL_S = 0.02
SOME = 64  # jobs that one look at the ledger finds
OVERDUE_S = 5.0
_log = logging.getLogger(__name__)


class Failure(NamedTuple):
    reason: str
    retry_s: float | None  # None: not retried, the job is dead


def backoff_s(tries: int, jitter: float) -> float:
    """1, 2, 4 ... 60 s after the first, second, third ... try, less a part of it: jitter in [0, 1)."""
    return float(min(LONGEST_BACKOFF_S, 2.0 ** min(tries - 1, 16)) * (1 - jitter))


class Bus:
    """`build` makes the handlers at the first job: their connections then open after the fork, and an error
    in it is an error of that job. `owner` names this process as a lease holder. `failure` is the last job's,
    if it had one."""

    def __init__(
        self,
        ledger: Ledger,
        build: Callable[[], Handlers],
        ring: RingBells,
        owner: str,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.ledger = ledger
        self.ring = ring
        self.owner = owner
        self.jitter = jitter
        self.failure: Failure | None = None
        self._build = build
        self._handlers: Handlers | None = None

    def process(self, job_id: str, carried: Mapping[str, str] | None = None) -> bool:
        """Run the job if it can be claimed; False: it can't. Errors of a handler end in the ledger.
        `carried`: its doorbell's headers."""
        self.failure = None
        claim = self.ledger.claim(job_id, self.owner)
        if claim is None:
            return False
        event = claim.event
        place = (claim.service, type(event).__name__, event.run_id, event.generation)
        try:
            with tracing.job_span(*place, carried or {}):
                self._do(claim)
        except LostLeaseError as error:
            _log.warning("result dropped: %s", error)
        return True

    def _do(self, claim: Claim) -> None:
        """Handle and commit, or fail. Raises LostLeaseError."""
        started_s = time.monotonic()
        name = f"{type(claim.event).__name__} {claim.job_id[:12]}"
        try:
            with renewed(self.ledger, claim) as lost:
                produced = self._handler(type(claim.event))(claim.event)
            if lost.is_set():
                raise LostLeaseError(f"{name}: the lease was lost while it ran")
            rings = self.ledger.commit(claim.job_id, claim.fence, produced)
        except LostLeaseError:
            raise
        except Exception as error:  # the one broad except: whatever a handler does, its job gets an end
            rings = self._fail(claim, name, error)
        else:
            words = ", ".join(type(message).__name__ for message in produced) or "nothing"
            _log.info("%s done in %.2f s, produced %s", name, time.monotonic() - started_s, words)
        self.ring(rings)

    def _handler(self, kind: type[Message]) -> Handler:
        if self._handlers is None:
            self._handlers = self._build()
        if kind not in self._handlers:
            raise SettingsError(
                f"this service has no handler for {kind.__name__}",
                "is it routed here in shared/messages/routes.py?",
            )
        return self._handlers[kind]

    def _fail(self, claim: Claim, name: str, error: Exception) -> list[Ring]:
        """Transient errors are retried; another RatchetError is final; a bug gets max_attempts."""
        known = isinstance(error, RatchetError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        if self._must_pause(claim, error):
            self.failure = Failure(reason, 0.0)
            _log.warning("%s pauses the run: %s", name, reason)
            pausing.pause(self.ledger, claim.job_id, claim.fence, reason)
            return []
        if isinstance(error, JobHandedBackError):
            _log.info("%s continues later: %s", name, reason)
            return pausing.hand_back(self.ledger, claim.job_id, claim.fence)
        transient = _is_transient(error)
        retry_s = None if known and not transient else self._retry_s(claim, error, transient)
        bug = None if known else error  # only a bug needs its traceback
        again = "not retried" if retry_s is None else f"retry in {retry_s:.1f} s"
        self.failure = Failure(reason, retry_s)
        _log.warning("%s failed, %s: %s", name, again, reason, exc_info=bug)
        return self.ledger.fail(claim.job_id, claim.fence, reason, retry_s, transient=transient)

    def _must_pause(self, claim: Claim, error: Exception) -> bool:
        """For errors that no retry removes, and for an endpoint that is unreachable longer than an outage may
        last: its jobs do not die, since their attempts would be missing in every arm."""
        if not isinstance(error, ChatUnavailableError):
            return isinstance(error, RatchetError) and error.pauses
        failing_s = max(pausing.failing_s(self.ledger, claim.job_id), error.retry_after_s or 0.0)
        return failing_s > self.ledger.outage_s

    def _retry_s(self, claim: Claim, error: Exception, transient: bool) -> float:
        """The backoff, but at least the server's Retry-After."""
        wait_s = backoff_s(claim.fence, self.jitter())
        if transient:
            wait_s = min(wait_s, LONGEST_TRANSIENT_S)
        asked_s = error.retry_after_s if isinstance(error, RatchetError) else None
        return max(wait_s, asked_s or 0.0)


def _is_transient(error: Exception) -> bool:
    if isinstance(error, RatchetError):
        return error.transient
    return isinstance(error, OSError) and error.errno in _FULL


class MemoryBus:
    """The bus without a queue: this process runs all services' jobs from the ledger, oldest first. For small
    runs and tests; `handlers` are those of all services together."""

    def __init__(
        self, ledger: Ledger, handlers: Handlers, jitter: Callable[[], float] = random.random
    ) -> None:
        self.ledger = ledger
        self.bus = Bus(ledger, lambda: handlers, _no_bells, children.owner_name(), jitter)

    def submit(self, messages: Sequence[Message]) -> list[Ring]:
        return self.ledger.submit(messages)

    def drain(self, until: Callable[[], bool] | None = None, max_jobs: int | None = None) -> int:
        """Run jobs until none is open, `until` is true, or `max_jobs` are done; waits for jobs that are not
        due yet or leased by another process. Returns how many were run."""
        count = 0
        looked_s = -OVERDUE_S
        while not (until and until()) and (max_jobs is None or count < max_jobs):
            if time.monotonic() - looked_s > OVERDUE_S:  # what others left, and a clock that was set back
                self.ledger.overdue(children.is_gone)
                looked_s = time.monotonic()
            due = self.ledger.due(limit=SOME)
            for job in due:
                if (until and until()) or count == max_jobs:
                    break
                count += self.bus.process(job.job_id)
            if not due:
                if self.ledger.idle():
                    break
                time.sleep(POLL_S)
        return count


def _no_bells(rings: Sequence[Ring]) -> None:
    """No worker to wake: drain reads the ledger."""

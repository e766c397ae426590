"""The effects of a transaction of the ledger: log, new jobs, advanced joins, deaths, the run's end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, and_, func, select, update

from shared.errors import LedgerError
from shared.ledger import fast_path
from shared.ledger.database import Database
from shared.ledger.joins import arrive
from shared.ledger.schema import events, jobs, runs
from shared.messages.events import BaseFailed, JobDied, Message, RunFinished
from shared.messages.plain import plain_text
from shared.messages.records import canonical_json, digest_of
from shared.messages.routes import HANDLED_BY, JOINED_INTO

RUN_ENDED = "the run has ended"  # why the jobs that were open then are dead
ENDED = '%"type":"run_finished.v1"%'  # in the body of its event


class Ring(NamedTuple):
    """A doorbell to be rung: `type` is the event's tag."""

    job_id: str
    service: str
    type: str


@dataclass(frozen=True)
class Effects:
    """One open write transaction. `ring_s`: when the reconciler rings for a new job that no worker took;
    `locked`: the runs whose rows it holds."""

    database: Database
    connection: Connection
    ring_s: float
    locked: set[str] = field(default_factory=set)

    def append(self, by: str | None, messages: Sequence[Message]) -> list[Ring]:
        """Log messages, make jobs of those that a service handles, advance joins, end a finished run."""
        rings = []
        for message in messages:
            self._lock(message.run_id)  # one writer a run: `seq` is seen in order
            message = self._numbered(message)
            body = canonical_json(message.model_dump(mode="json"))
            digest = hashlib.sha256(body).hexdigest()
            row = {"id": digest, "run_id": message.run_id, "job_id": by, "body": body.decode()}
            ring = _ring(message, digest)
            seq = self._log(row, ring)
            if seq is None:  # it was in the log already
                continue
            rings += [ring] if ring else []
            if type(message) in JOINED_INTO:
                joined = arrive(self.database, self.connection, seq, message)
                rings += self.append(by, [joined] if joined else [])
            if isinstance(message, RunFinished):
                self._finish_run(message)
        return rings

    def bury(self, job: Row[Any], body: str, why: str) -> list[Ring]:
        """The job is dead, and feedback gets a JobDied. A JobDied whose own job dies fails the run."""
        self.connection.execute(update(jobs).where(jobs.c.id == job.id).values(state="dead", last_error=why))
        event = json.loads(body)
        about = {"run_id": job.run_id, "generation": event.get("generation", 0)}
        if job.type == JobDied.model_fields["type"].default:
            why = f"the death of a job could not be handled: {why}"
            return self.append(job.id, [RunFinished(**about, state="failed", why=why)])
        last_words = {"job_id": job.id, "service": job.service, "event": event, "attempts": job.attempts}
        last_words["fence"] = job.fence  # a job that was revived dies anew
        return self.append(job.id, [JobDied(**about, **last_words, reason=why)])

    def _lock(self, run_id: str) -> None:
        if run_id not in self.locked:
            run_row(self.connection, run_id, lock=True)
            self.locked.add(run_id)

    def _numbered(self, message: Message) -> Message:
        """A run that was reopened may end again for the same reason, which is another event."""
        if not isinstance(message, RunFinished | BaseFailed):
            return message
        ends = select(func.count()).where(events.c.run_id == message.run_id, events.c.body.like(ENDED))
        return message.model_copy(update={"number": self.connection.execute(ends).scalar_one()})

    def _log(self, message: dict[str, str | None], ring: Ring | None) -> int | None:
        """The message's seq, with its job if a service handles it; None if it was in the log already."""
        kind, run = self.database.kind, self.connection.execute
        job: dict[str, Any] = {}
        if ring:
            job = {"job": ring.job_id, "service": ring.service, "type": ring.type, "ring_s": self.ring_s}
        if ring and kind == "postgresql":
            seq: int | None = run(fast_path.log_with_job(), message | job).scalar()
            return seq
        seq = run(fast_path.log(kind), message).scalar()
        if ring and seq is not None:
            run(fast_path.new_job(kind), job | {"seq": seq, "run_id": message["run_id"]})
        return seq

    def _finish_run(self, message: RunFinished) -> None:
        """Set the run's state. Its open jobs are dead by that: their leases are lost."""
        open_ = runs.c.state.in_(("running", "paused"))
        running = update(runs).where(runs.c.id == message.run_id, open_)
        self.connection.execute(running.values(state=message.state))
        unfinished = and_(jobs.c.run_id == message.run_id, jobs.c.state.in_(("ready", "leased")))
        why = f"{RUN_ENDED}: {message.state}: {message.why}"
        self.connection.execute(update(jobs).where(unfinished).values(state="dead", last_error=why))


def _ring(message: Message, digest: str) -> Ring | None:
    """Of the job that the message makes; None: it is for the log only."""
    service = HANDLED_BY.get(type(message))
    if service is None:
        return None
    kind = str(type(message).model_fields["type"].default)
    return Ring(digest_of([service, digest]), service, kind)


def run_row(connection: Connection, run_id: str, lock: bool = False) -> Row[Any]:
    query = select(runs).where(runs.c.id == run_id)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise LedgerError(f"no run {run_id!r} in this ledger", "create_run comes first")
    return row


def body_of(connection: Connection, job: Row[Any]) -> str:
    """The JSON of a job's message."""
    return str(connection.execute(select(events.c.body).where(events.c.seq == job.seq)).scalar_one())


def column_text(text: str) -> str:
    """What any text column takes: no half characters, and no NUL, which PostgreSQL refuses."""
    return plain_text(text).replace("\0", "\ufffd")

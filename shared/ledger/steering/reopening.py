"""Lets a run that has ended continue, or ends it for good, each in one transaction: at a person's request.

A run that ended in order is extended: feedback opens its next generation. A failed one is reopened: jobs that
were cut off by its end, or whose death ended it, are done again. What is cancelled stays ended.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, and_, func, select, update

from shared.errors import DecodeError, SettingsError
from shared.ledger.database import tried_again
from shared.ledger.effects import ENDED, RUN_ENDED, Effects, body_of, run_row
from shared.ledger.ledger import Ledger, Ring, set_job
from shared.ledger.schema import events, jobs, runs
from shared.ledger.steering.reviving import take_back
from shared.messages.events import RunExtended, RunFinished, RunReopened, decode

OPEN = ("running", "paused")
FOR_GOOD = "start another from it: `ratchet run TASK --from {run}:0`; its replies are kept"


@tried_again
def extend(ledger: Ledger, run_id: str, config: str, before: int, generations: int) -> list[Ring]:
    """Higher limits (`config`), and a run that has ended in order continues. Raises SettingsError."""
    with ledger.database.write() as connection:
        state = run_row(connection, run_id, lock=True).state
        if state == "failed":
            raise SettingsError(f"run {run_id} has failed", f"`ratchet resume {run_id}` tries again")
        if state == "cancelled":
            raise SettingsError(f"run {run_id} was cancelled, for good", FOR_GOOD.format(run=run_id))
        if state not in OPEN:
            connection.execute(update(runs).where(runs.c.id == run_id).values(state="running"))
        event = RunExtended(
            run_id=run_id,
            config=config,
            number=_count(connection, run_id, '%"type":"run_extended.v1"%') + 1,
            continues=state not in OPEN,
            generations_before=before,
            generations=generations,
        )
        return Effects(ledger.database, connection, ledger.ring_s).append(None, [event])


@tried_again
def cancel(ledger: Ledger, run_id: str) -> int:
    """End the run now, without its sealed test; returns how many open jobs ended with it. A worker that holds
    one loses its lease, ends its processes and writes nothing. Raises SettingsError where it has ended."""
    with ledger.database.write() as connection:
        state = run_row(connection, run_id, lock=True).state
        if state not in OPEN:
            raise SettingsError(f"run {run_id} has ended already: {state}", f"`ratchet show {run_id}`")
        unfinished = and_(jobs.c.run_id == run_id, jobs.c.state.in_(("ready", "leased")))
        count: int = connection.execute(select(func.count()).select_from(jobs).where(unfinished)).scalar_one()
        finished = RunFinished(run_id=run_id, state="cancelled", why="its user cancelled it")
        Effects(ledger.database, connection, ledger.ring_s).append(None, [finished])
        return count


@tried_again
def reopen(ledger: Ledger, run_id: str) -> int:
    """A failed run continues; returns how many jobs are done again. Raises SettingsError where it has not."""
    with ledger.database.write() as connection:
        state = run_row(connection, run_id, lock=True).state
        if state != "failed":
            hint = FOR_GOOD.format(run=run_id) if state == "cancelled" else f"`ratchet extend {run_id}`"
            raise SettingsError(f"run {run_id} has not failed: {state}", hint)
        connection.execute(update(runs).where(runs.c.id == run_id).values(state="running"))
        now = ledger.database.now(connection)
        again = [job for job in _ended_or_died(connection, run_id) if _is_open(connection, job)]
        again += _that_ended_it(connection, run_id)
        for job in again:
            afresh = {"state": "ready", "attempts": 0, "failing_since": None, "not_before": now}
            set_job(connection, job.id, **afresh, ring_at=now, rings=0, last_error="")
        number = _count(connection, run_id, ENDED)
        event = RunReopened(run_id=run_id, number=number, jobs=len(again))
        Effects(ledger.database, connection, ledger.ring_s).append(None, [event])
        return len(again)


def _ended_or_died(connection: Connection, run_id: str) -> list[Row[Any]]:
    dead = select(jobs).where(jobs.c.run_id == run_id, jobs.c.state == "dead").order_by(jobs.c.seq)
    return list(connection.execute(dead).all())


def _is_open(connection: Connection, job: Row[Any]) -> bool:
    """Whether something still waits for it: it was cut off by the end, it ended the run itself, or its join
    is not complete."""
    if job.last_error.startswith(RUN_ENDED):
        return True
    try:
        join = decode(body_of(connection, job)).join
    except DecodeError:
        return False
    return join is None or take_back(connection, job.run_id, join)


def _that_ended_it(connection: Connection, run_id: str) -> list[Row[Any]]:
    """The job whose result was the run's end for a cause outside of the log: a verifier that broke, a base
    that could not be made."""
    ends = select(events).where(events.c.run_id == run_id, events.c.body.like(ENDED))
    end = connection.execute(ends.order_by(events.c.seq.desc())).first()
    if end is None or end.job_id is None:
        return []
    job = connection.execute(select(jobs).where(jobs.c.id == end.job_id)).first()
    if job is not None and job.type == "base_failed.v1":
        maker = select(events.c.job_id).where(events.c.seq == job.seq)
        job = connection.execute(select(jobs).where(jobs.c.id.in_(maker))).first()
    done_elsewhere = job is not None and job.service != "feedback" and job.state == "done"
    return [job] if job is not None and done_elsewhere else []


def _count(connection: Connection, run_id: str, kind: str) -> int:
    query = select(func.count()).select_from(events)
    found: int = connection.execute(
        query.where(events.c.run_id == run_id, events.c.body.like(kind))
    ).scalar_one()
    return found

"""The fast path of a job (claimed, done, its messages logged, the next jobs made): statements of one round
trip each, built once a process. What they don't match takes the slow path in ledger.py.
"""

from __future__ import annotations

import functools
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    String,
    Text,
    alias,
    and_,
    bindparam,
    exists,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningUpdate

from shared.ledger.schema import events, jobs, runs

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_CLOCK = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch FROM clock_timestamp())::float8",
}

# As text: SQLAlchemy leaves out the table's name in SQLite's RETURNING, and `seq = seq` is any event.
_BODY = literal_column("(SELECT events.body FROM events WHERE events.seq = jobs.seq)", Text()).label("body")


def clock(kind: str) -> ColumnElement[float]:
    """The database's clock, read where the statement stands: after its waits for locks."""
    return literal_column(_CLOCK[kind], Double())


@functools.cache
def claim(kind: str) -> ReturningUpdate[Any]:
    """Lease a job that is due, has attempts left, and whose run is not paused: its new row and its message.
    Takes `job`, `by`, `lease_s`, `max_attempts`."""
    now = clock(kind)
    due = or_(
        and_(jobs.c.state == "ready", jobs.c.not_before <= now),
        and_(jobs.c.state == "leased", jobs.c.lease_until <= now),
    )
    paused = exists().correlate(jobs).where(runs.c.id == jobs.c.run_id, runs.c.state == "paused")
    claimable = and_(jobs.c.id == bindparam("job"), due, jobs.c.attempts < bindparam("max_attempts"), ~paused)
    lease = {
        "state": "leased",
        "owner": bindparam("by"),
        "lease_until": now + bindparam("lease_s", type_=Double),
    }
    counted = {"fence": jobs.c.fence + 1, "attempts": jobs.c.attempts + 1, "rings": 0}
    leased = update(jobs).where(claimable).values(lease | counted)
    return leased.returning(jobs.c.fence, jobs.c.attempts, jobs.c.service, _BODY)


@functools.cache
def done(kind: str) -> ReturningUpdate[Any]:
    """The job is done, if this fence still holds it; its run is locked first. Takes `job`, `held_by`."""
    held = and_(jobs.c.id == bindparam("job"), jobs.c.state == "leased", jobs.c.fence == bindparam("held_by"))
    if kind == "postgresql":  # SQLite has one lock for all
        of_job = alias(jobs)
        run_id = select(of_job.c.run_id).where(of_job.c.id == bindparam("job")).scalar_subquery()
        locked = select(runs.c.id).where(runs.c.id == run_id).with_for_update().subquery()
        held = and_(held, jobs.c.run_id == locked.c.id)
    return update(jobs).where(held).values(state="done", last_error="").returning(jobs.c.run_id)


@functools.cache
def log(kind: str) -> Any:
    """A message into the log, once: its seq. Takes the columns but `at`."""
    named: dict[str, Any] = {name: bindparam(name) for name in ("id", "run_id", "job_id", "body")}
    insert = _INSERT[kind](events).values(named | {"at": clock(kind)})
    return insert.on_conflict_do_nothing().returning(events.c.seq)


@functools.cache
def new_job(kind: str) -> Any:
    """Takes `job`, `seq`, `run_id`, `service`, `type`, `ring_s`."""
    return jobs.insert().values(_fresh(kind) | {"seq": bindparam("seq")})


@functools.cache
def log_with_job() -> Any:
    """Both in one, of PostgreSQL: the seq of a message that was not in the log. Takes what both take."""
    logged = log("postgresql").cte("logged")
    fresh = _fresh("postgresql") | {"seq": logged.c.seq}
    columns = [value if isinstance(value, ColumnElement) else literal(value) for value in fresh.values()]
    return jobs.insert().from_select(list(fresh), select(*columns)).returning(jobs.c.seq)


def _fresh(kind: str) -> dict[str, Any]:
    """A new job's row, but for its seq."""
    now = clock(kind)
    named: dict[str, Any] = {name: bindparam(name, type_=String) for name in ("run_id", "service", "type")}
    fresh = {"state": "ready", "fence": 0, "attempts": 0, "owner": "", "lease_until": 0.0, "rings": 0}
    times = {"not_before": now, "ring_at": now + bindparam("ring_s", type_=Double)}
    return {"id": bindparam("job", type_=String)} | named | fresh | times | {"last_error": ""}

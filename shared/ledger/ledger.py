"""The record of all work: runs, jobs, joins and the append-only event log, in SQL. It runs no job.

Every method is one short transaction. A message is identified by its digest: committed twice, it is one
event, one job, one arrival. All times are the database's; fences, not clocks, decide who may write.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, and_, func, or_, select, true, update

from shared.errors import DecodeError, LostLeaseError
from shared.ledger import fast_path
from shared.ledger import migrate as migrating
from shared.ledger.clock import follow
from shared.ledger.database import Database, tried_again
from shared.ledger.effects import Effects, body_of, column_text, run_row
from shared.ledger.effects import Ring as Ring
from shared.ledger.overdue import NOT_PAUSED, none_is_gone, ring_again, take_back_leases
from shared.ledger.schema import events, jobs, leaders, runs
from shared.messages.events import Message, decode
from shared.messages.routes import SERVICES

OUTAGE_S = 900.0  # how long what a job needs may be unreachable before its failures count as attempts

_OPEN = jobs.c.state.in_(("ready", "leased"))


@dataclass(frozen=True)
class Claim:
    """A lease on a job. Whatever is written for it carries the fence."""

    job_id: str
    fence: int
    service: str
    event: Message
    attempt: int


@dataclass(frozen=True)
class LoggedEvent:
    seq: int
    at: float  # seconds since 1970, on the database's clock
    job_id: str | None  # the job that emitted it
    event: Message
    id: str = ""  # its digest when it was written


class Ledger:
    """`ring_s`: how long a ready job waits for a worker before the reconciler rings."""

    def __init__(
        self,
        url: str,
        *,
        lease_s: float = 60,
        max_attempts: int = 4,
        ring_s: float = 5,
        outage_s: float = OUTAGE_S,
    ) -> None:
        self.database = Database(url)
        self.lease_s = lease_s
        self.outage_s = outage_s
        self.max_attempts = max_attempts
        self.ring_s = ring_s

    def create_schema(self) -> None:
        """Make the tables or bring them up to date: of a local run's own file. On PostgreSQL that is the
        operator's: `ratchet migrate`."""
        migrating.migrate(self.database)

    # --- runs

    @tried_again
    def create_run(self, run_id: str, stack: str = "") -> bool:
        """Open a run; False: it exists, and stays as it is. `stack`: the queue prefix of the one whose
        reconciler rings for the run; empty: any stack's."""
        with self.database.write() as connection:
            row = {"id": run_id, "state": "running", "stop_requested": False, "stack": stack}
            return self.database.insert_once(connection, runs, row, runs.c.id) is not None

    @tried_again
    def hand_over(self, run_id: str, stack: str) -> None:
        """From now on this stack is responsible for the run."""
        with self.database.write() as connection:
            connection.execute(update(runs).where(runs.c.id == run_id).values(stack=stack))

    def run_states(self, stack: str = "") -> dict[str, str]:
        """All runs by name, with their states; of `stack` and of no stack, if one is given."""
        chosen = runs.c.stack.in_(("", stack)) if stack else true()
        with self.database.read() as connection:
            rows = connection.execute(select(runs.c.id, runs.c.state).where(chosen).order_by(runs.c.id))
            return {row.id: row.state for row in rows}

    def run_state(self, run_id: str) -> str:
        """running, paused (it waits for its user), or how it ended: done, failed, stopped, budget."""
        with self.database.read() as connection:
            return str(run_row(connection, run_id).state)

    # --- a job's life

    @tried_again
    def submit(self, messages: Sequence[Message]) -> list[Ring]:
        """Accept messages from outside. What is known already changes nothing."""
        with self.database.write() as connection:
            return self._effects(connection).append(None, messages)

    @tried_again
    def claim(self, job_id: str, owner: str) -> Claim | None:
        """Lease a job. None: not known, not due, held by another, ended, or given up just now."""
        about = {"job": job_id, "by": owner, "lease_s": self.lease_s, "max_attempts": self.max_attempts}
        with self.database.write_at_once() as connection:
            row = connection.execute(fast_path.claim(self.database.kind), about).first()
        if row is None:
            self._bury_if_worn(job_id)
            return None
        try:
            return Claim(job_id, row.fence, row.service, decode(row.body), row.attempts)
        except DecodeError as error:
            self.fail(job_id, row.fence, str(error), None)
            return None

    def _bury_if_worn(self, job_id: str) -> None:
        """A job that could be claimed but for its attempts is dead."""
        with self.database.write() as connection:
            job = _locked(connection, job_id)
            if job is None or job.attempts < self.max_attempts:
                return
            now = self.database.now(connection)  # after the lock: one may have waited for it
            if _is_due(job, now) and run_row(connection, job.run_id).state != "paused":
                why = job.last_error or "the worker vanished each time"
                self._effects(connection).bury(job, body_of(connection, job), why)

    @tried_again
    def renew(self, job_id: str, fence: int) -> bool:
        """Prolong a lease; False: it is lost."""
        with self.database.write() as connection:
            until = self.database.now(connection) + self.lease_s
            held = and_(jobs.c.id == job_id, jobs.c.state == "leased", jobs.c.fence == fence)
            prolong = update(jobs).where(held).values(lease_until=until).returning(jobs.c.id)
            return connection.execute(prolong).first() is not None

    @tried_again
    def commit(self, job_id: str, fence: int, messages: Sequence[Message]) -> list[Ring]:
        """The job is done and these are its effects: all of it, or LostLeaseError and nothing."""
        with self.database.write() as connection:
            about = {"job": job_id, "held_by": fence}
            finish = fast_path.done(self.database.kind)
            run_id = connection.execute(finish, about).scalar()
            if run_id is None:
                held(connection, job_id, fence)  # says why it is not
                run_id = connection.execute(finish, about).scalar_one()
            return self._effects(connection, run_id).append(job_id, messages)

    @tried_again
    def fail(
        self, job_id: str, fence: int, error: str, retry_after_s: float | None, *, transient: bool = False
    ) -> list[Ring]:
        """Give a lease back. Without `retry_after_s`, or when its attempts are used up, the job is dead.
        A transient failure uses up none within `outage_s` of the first. Raises LostLeaseError."""
        error = column_text(error)
        with self.database.write() as connection:
            now = self.database.now(connection)
            job = held(connection, job_id, fence)
            since = job.failing_since or now
            excused = transient and now - since < self.outage_s
            attempts = job.attempts - 1 if excused else job.attempts
            if retry_after_s is None or attempts >= self.max_attempts:
                return self._effects(connection).bury(job, body_of(connection, job), error)
            due = now + retry_after_s
            set_job(connection, job_id, state="ready", attempts=attempts, not_before=due, ring_at=due)
            set_job(
                connection, job_id, failing_since=since if transient else job.failing_since, last_error=error
            )
            return []

    # --- the reconciler

    @tried_again
    def elect(self, name: str, owner: str, lease_s: float) -> bool:
        """Whether this owner is elected to do `name` for the next `lease_s`."""
        with self.database.write() as connection:
            now = self.database.now(connection)
            mine = {"owner": owner, "lease_until": now + lease_s}
            if self.database.insert_once(connection, leaders, {"name": name, **mine}, leaders.c.name):
                return True
            free = or_(leaders.c.owner == owner, leaders.c.lease_until <= now)
            taken = update(leaders).where(leaders.c.name == name, free).values(mine).returning(leaders.c.name)
            return connection.execute(taken).first() is not None

    @tried_again
    def overdue(self, is_gone: Callable[[str], bool] = none_is_gone, stack: str = "") -> list[Ring]:
        """Doorbells that must have been lost: ready jobs that no worker took. Leases that ran out, or whose
        holder `is_gone`, become ready first. Of the runs of `stack`; empty: of all. Rows that another
        transaction holds are skipped."""
        with self.database.write() as connection:
            now = self.database.now(connection)
            follow(self.database, connection, now)
            take_back_leases(connection, now, is_gone, stack)
            return ring_again(connection, now, self.ring_s, stack)

    def due(self, limit: int | None = None) -> list[Ring]:
        """Jobs that could be claimed now, oldest first (for a bus without doorbells)."""
        with self.database.read() as connection:
            now = self.database.now(connection)
            ready = and_(jobs.c.state == "ready", jobs.c.not_before <= now)
            free = or_(ready, and_(jobs.c.state == "leased", jobs.c.lease_until <= now))
            unfinished = select(jobs.c.id, jobs.c.service, jobs.c.type).where(free, NOT_PAUSED)
            rows = connection.execute(unfinished.order_by(jobs.c.seq).limit(limit)).all()
            return [Ring(job.id, job.service, job.type) for job in rows]

    def idle(self) -> bool:
        """Whether no job is open, in any run that is not paused."""
        open_jobs = select(jobs.c.id).where(_OPEN, NOT_PAUSED).limit(1)
        with self.database.read() as connection:
            return connection.execute(open_jobs).first() is None

    # --- looking

    def events(self, run_id: str, after: int = 0) -> list[LoggedEvent]:
        """The run's log from `after` (a seq) on, in order."""
        query = select(events).where(events.c.run_id == run_id, events.c.seq > after).order_by(events.c.seq)
        with self.database.read() as connection:
            rows = connection.execute(query).all()
        return [LoggedEvent(row.seq, row.at, row.job_id, decode(row.body), row.id) for row in rows]

    def jobs(self, run_id: str) -> dict[tuple[str, str], int]:
        """How many jobs by (service, state)."""
        query = select(jobs.c.service, jobs.c.state, func.count()).where(jobs.c.run_id == run_id)
        with self.database.read() as connection:
            rows = connection.execute(query.group_by(jobs.c.service, jobs.c.state)).all()
        return {(service, state): count for service, state, count in rows}

    def workers(self, run_id: str) -> list[tuple[str, str, int, float]]:
        """Who holds the run's leased jobs: (owner, service, how many, seconds until its first lease ends)."""
        held_jobs = and_(jobs.c.run_id == run_id, jobs.c.state == "leased")
        columns = (jobs.c.owner, jobs.c.service, func.count(), func.min(jobs.c.lease_until))
        query = select(*columns).where(held_jobs).group_by(jobs.c.owner, jobs.c.service)
        with self.database.read() as connection:
            now = self.database.now(connection)
            rows = connection.execute(query.order_by(jobs.c.service, jobs.c.owner)).all()
        return [(owner, service, count, until - now) for owner, service, count, until in rows]

    def handled(self, run_id: str) -> set[str]:
        """The jobs that are done, by id."""
        query = select(jobs.c.id).where(jobs.c.run_id == run_id, jobs.c.state == "done")
        with self.database.read() as connection:
            return set(connection.execute(query).scalars())

    def oldest_ready_s(self) -> dict[str, float]:
        """For each service, how long the oldest job that could be claimed has waited; 0: none waits."""
        with self.database.read() as connection:
            now = self.database.now(connection)
            waiting = and_(jobs.c.state == "ready", jobs.c.not_before <= now)
            since = select(jobs.c.service, func.min(jobs.c.not_before)).where(waiting)
            rows = connection.execute(since.group_by(jobs.c.service)).all()
        return dict.fromkeys(SERVICES, 0.0) | {service: now - at for service, at in rows}

    def last_said_at(self, run_id: str) -> float:
        """When the run's last event was written, on the database's clock; 0: never."""
        with self.database.read() as connection:
            last = select(func.max(events.c.at)).where(events.c.run_id == run_id)
            return float(connection.execute(last).scalar() or 0.0)

    def open_jobs(self, run_id: str) -> int:
        """How many jobs are neither done nor dead."""
        return sum(n for (_, state), n in self.jobs(run_id).items() if state in ("ready", "leased"))

    def _effects(self, connection: Connection, *locked: str) -> Effects:
        return Effects(self.database, connection, self.ring_s, set(locked))


def _locked(connection: Connection, job_id: str) -> Row[Any] | None:
    """The job, locked until this transaction ends."""
    return connection.execute(select(jobs).where(jobs.c.id == job_id).with_for_update()).first()


def held(connection: Connection, job_id: str, fence: int) -> Row[Any]:
    """The job, if this fence still holds it. The run's row is locked first, as wherever both are."""
    run_id = select(jobs.c.run_id).where(jobs.c.id == job_id).scalar_subquery()
    connection.execute(select(runs.c.id).where(runs.c.id == run_id).with_for_update())
    job = _locked(connection, job_id)
    if job is None or job.state != "leased" or job.fence != fence:
        there = "no such job" if job is None else f"the job is {job.state} under fence {job.fence}"
        raise LostLeaseError(f"job {job_id[:12]}: the lease with fence {fence} is lost: {there}")
    return job


def set_job(connection: Connection, job_id: str, **values: object) -> None:
    connection.execute(update(jobs).where(jobs.c.id == job_id).values(**values))


def _is_due(job: Row[Any], now: float) -> bool:
    if job.state == "ready":
        return bool(job.not_before <= now)
    return bool(job.state == "leased" and job.lease_until <= now)

"""Paused runs and failing jobs: what waits for its user or for an unreachable service, since when and why.

A run is paused when a job fails for a reason that no retry removes (a wrong key, an empty account). The job
is given back as it was; no job of the run is claimed until the run continues.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, select, update

from shared.ledger.database import tried_again
from shared.ledger.ledger import Ledger, Ring, held, set_job
from shared.ledger.schema import jobs, runs


@dataclass(frozen=True)
class Trouble:
    """An open job that failed and will be tried again. Times: seconds, on the database's clock."""

    service: str
    reason: str
    since_s: float  # how long ago it failed first
    again_in_s: float


@tried_again
def pause(ledger: Ledger, job_id: str, fence: int, why: str) -> None:
    """Give the lease back, at no cost of attempts, and pause the run. Raises LostLeaseError."""
    with ledger.database.write() as connection:
        job = held(connection, job_id, fence)
        now = ledger.database.now(connection)
        given_back = {"state": "ready", "attempts": job.attempts - 1, "not_before": now, "ring_at": now}
        set_job(connection, job_id, **given_back, failing_since=None, last_error=why)
        running = and_(runs.c.id == job.run_id, runs.c.state == "running")
        connection.execute(update(runs).where(running).values(state="paused"))


@tried_again
def hand_back(ledger: Ledger, job_id: str, fence: int) -> list[Ring]:
    """Give the lease back at no cost of attempts, to be taken again at once. Raises LostLeaseError."""
    with ledger.database.write() as connection:
        job = held(connection, job_id, fence)
        now = ledger.database.now(connection)
        given_back = {"state": "ready", "attempts": job.attempts - 1, "not_before": now}
        set_job(connection, job_id, **given_back, ring_at=now + ledger.ring_s, failing_since=None)
        return [Ring(job.id, job.service, job.type)]


@tried_again
def go_on(ledger: Ledger, run_id: str) -> bool:
    """Let a paused run continue; False: it was not paused."""
    with ledger.database.write() as connection:
        now = ledger.database.now(connection)
        paused = update(runs).where(runs.c.id == run_id, runs.c.state == "paused")
        if connection.execute(paused.values(state="running").returning(runs.c.id)).first() is None:
            return False
        waiting = update(jobs).where(jobs.c.run_id == run_id, jobs.c.state == "ready")
        connection.execute(waiting.values(not_before=now, ring_at=now, failing_since=None, last_error=""))
        return True


def failing_s(ledger: Ledger, job_id: str) -> float:
    """How long ago the job failed first for a transient reason; 0: it has not."""
    with ledger.database.read() as connection:
        since = connection.execute(select(jobs.c.failing_since).where(jobs.c.id == job_id)).scalar()
        return ledger.database.now(connection) - since if since is not None else 0.0


def paused_why(ledger: Ledger, run_id: str) -> str:
    """Why the run is paused; empty: it is not."""
    if ledger.run_state(run_id) != "paused":
        return ""
    waiting = select(jobs.c.last_error).where(jobs.c.run_id == run_id, jobs.c.state == "ready")
    with ledger.database.read() as connection:
        reasons = connection.execute(waiting.where(jobs.c.last_error != "")).scalars().all()
    return "; ".join(sorted(set(reasons)))


def troubles(ledger: Ledger, run_id: str) -> list[Trouble]:
    """The run's jobs that failed and wait for their next try, longest first."""
    failing = and_(jobs.c.run_id == run_id, jobs.c.state == "ready", jobs.c.failing_since.is_not(None))
    with ledger.database.read() as connection:
        now = ledger.database.now(connection)
        rows = connection.execute(select(jobs).where(failing).order_by(jobs.c.failing_since)).all()
    return [
        Trouble(row.service, row.last_error, now - row.failing_since, max(row.not_before - now, 0.0))
        for row in rows
    ]

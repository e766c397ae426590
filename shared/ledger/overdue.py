"""The reconciler's look into the ledger: leases that ran out, doorbells that must have been lost. Inside the
ledger's transaction; it publishes nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Select, and_, select, update

from shared.ledger.effects import Ring
from shared.ledger.schema import jobs, runs

MOST_PATIENT_RING = 4  # the reconciler rings after ring_s, 2 ring_s, 4 ... and then every 16 ring_s
MOST_RINGS = 1_000  # at a time, oldest first: a long queue is no reason to publish it whole again
NOT_PAUSED = jobs.c.run_id.not_in(select(runs.c.id).where(runs.c.state == "paused"))


def none_is_gone(owner: str) -> bool:
    return False


def take_back_leases(connection: Connection, now: float, is_gone: Callable[[str], bool], stack: str) -> None:
    """Leases that ran out, or whose holder is gone: their jobs are ready."""
    for job in connection.execute(_ours(stack).where(jobs.c.state == "leased")).all():
        if job.lease_until <= now or is_gone(job.owner):
            again = {"state": "ready", "ring_at": now, "last_error": "the worker vanished"}
            connection.execute(update(jobs).where(jobs.c.id == job.id).values(again))


def ring_again(connection: Connection, now: float, ring_s: float, stack: str) -> list[Ring]:
    """The doorbells of ready jobs that no worker took; each waits longer for the next."""
    waiting = and_(jobs.c.state == "ready", jobs.c.not_before <= now, jobs.c.ring_at <= now)
    late = connection.execute(_ours(stack).where(waiting).limit(MOST_RINGS)).all()
    for rings in range(MOST_PATIENT_RING + 1):  # a statement for each wait, not for each job
        alike = [job.id for job in late if min(job.rings, MOST_PATIENT_RING) == rings]
        if alike:
            rung = update(jobs).where(jobs.c.id.in_(alike))
            connection.execute(rung.values(rings=jobs.c.rings + 1, ring_at=now + ring_s * 2**rings))
    return [Ring(job.id, job.service, job.type) for job in late]


def _ours(stack: str) -> Select[tuple[object, ...]]:
    """Jobs of the runs of `stack`; empty: of all. Rows that another transaction holds are skipped."""
    looked_at = select(jobs).where(NOT_PAUSED).order_by(jobs.c.seq).with_for_update(skip_locked=True)
    if stack:
        looked_at = looked_at.where(jobs.c.run_id.in_(select(runs.c.id).where(runs.c.stack.in_(("", stack)))))
    return looked_at

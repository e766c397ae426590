"""Makes dead jobs ready again, on the user's request: while the join that waits for them is still open, a
loss that has arrived there is taken back. A loss that a decision rests on stays one.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, select, update

from shared.errors import DecodeError, SettingsError
from shared.ledger.database import tried_again
from shared.ledger.effects import body_of, run_row
from shared.ledger.ledger import Ledger, Ring, set_job
from shared.ledger.schema import arrivals, jobs, joins
from shared.messages.events import Join, decode


@dataclass(frozen=True)
class Revived:
    rings: list[Ring]
    too_late: int  # dead jobs whose loss has been counted, or that answer to no join


@tried_again
def revive(ledger: Ledger, run_id: str) -> Revived:
    """Make the run's dead jobs ready again where that still changes something. Raises SettingsError for a run
    that has ended."""
    with ledger.database.write() as connection:
        state = run_row(connection, run_id, lock=True).state
        if state not in ("running", "paused"):
            raise SettingsError(f"run {run_id} has ended ({state})", "start another: its replies are kept")
        now = ledger.database.now(connection)
        dead = select(jobs).where(jobs.c.run_id == run_id, jobs.c.state == "dead").order_by(jobs.c.seq)
        rings, too_late = [], 0
        for job in connection.execute(dead).all():
            try:
                join = decode(body_of(connection, job)).join
            except DecodeError:
                join = None
            if join is None or not take_back(connection, run_id, join):
                too_late += 1
                continue
            afresh = {"state": "ready", "attempts": 0, "failing_since": None, "not_before": now}
            set_job(connection, job.id, **afresh, ring_at=now, rings=0, last_error="")
            rings.append(Ring(job.id, job.service, job.type))
        return Revived(rings, too_late)


def take_back(connection: Connection, run_id: str, join: Join) -> bool:
    """Free the slot in which the loss arrived; False: it has not arrived, or the join is complete."""
    this = and_(joins.c.run_id == run_id, joins.c.id == join.id)
    row = connection.execute(select(joins).where(this).with_for_update()).first()
    if row is None or row.arrived >= row.expected:
        return False
    slot = and_(arrivals.c.run_id == run_id, arrivals.c.join_id == join.id, arrivals.c.slot == join.slot)
    if connection.execute(delete(arrivals).where(slot).returning(arrivals.c.slot)).first() is None:
        return False
    connection.execute(update(joins).where(this).values(arrived=row.arrived - 1))
    return True

"""Handles a database's clock that was set back. Every wait in the ledger ends at a time on that clock, so
without this an hour back would hide every open job for an hour. Set forward it does no harm: leases end
early, fences hold.
"""

from __future__ import annotations

import logging

from sqlalchemy import Connection, select, update

from shared.ledger.database import Database
from shared.ledger.schema import jobs, leaders

NAME = "clock"  # the row of `leaders` whose lease_until is the latest time that was seen
TOLERANCE_S = 1.0  # a clock that is kept right by small steps
_log = logging.getLogger(__name__)


def follow(database: Database, connection: Connection, now: float) -> None:
    """Move all that is awaited back with the clock. To be called often, in write transactions: the more
    often, the more exact."""
    seen = select(leaders.c.lease_until).where(leaders.c.name == NAME).with_for_update()
    latest = connection.execute(seen).scalar()
    if latest is None:
        row = {"name": NAME, "owner": "", "lease_until": now}
        database.insert_once(connection, leaders, row, leaders.c.name)
        return
    back_s = latest - now
    if back_s > TOLERANCE_S:
        _log.warning("the database's clock was set back by %.0f s: what waits is moved with it", back_s)
        times = (jobs.c.not_before, jobs.c.lease_until, jobs.c.ring_at, jobs.c.failing_since)
        moved = {column.name: column - back_s for column in times}
        connection.execute(update(jobs).where(jobs.c.state.in_(("ready", "leased"))).values(moved))
        others = update(leaders).where(leaders.c.name != NAME)
        connection.execute(others.values(lease_until=leaders.c.lease_until - back_s))
    connection.execute(update(leaders).where(leaders.c.name == NAME).values(lease_until=now))

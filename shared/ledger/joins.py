"""Joins: `expected` arrivals, one a slot, together make one next message. Inside the ledger's transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select, update

from shared.ledger.database import Database
from shared.ledger.schema import arrivals, events, joins
from shared.messages.events import Message, decode
from shared.messages.routes import JOINED_INTO


def arrive(database: Database, connection: Connection, seq: int, message: Message) -> Message | None:
    """Store the arrival; the joined message if it was the last one awaited. A slot that is taken, or a join
    that is complete, takes no more. Raises ValueError for a message without a join: it would be lost."""
    join = message.join
    if join is None:
        raise ValueError(f"{type(message).__name__} must carry the join of the work that it answers")
    run = {"run_id": message.run_id}
    database.insert_once(
        connection, joins, run | {"id": join.id, "expected": join.expected, "arrived": 0}, joins.c.id
    )
    this = (joins.c.run_id == message.run_id, joins.c.id == join.id)
    before = connection.execute(select(joins).where(*this).with_for_update()).one()
    row = run | {"join_id": join.id, "slot": join.slot, "seq": seq}
    if before.arrived >= before.expected or not database.insert_once(
        connection, arrivals, row, arrivals.c.slot
    ):
        return None
    connection.execute(update(joins).where(*this).values(arrived=before.arrived + 1))
    if before.arrived + 1 < before.expected:
        return None
    return _joined(connection, message)


def _joined(connection: Connection, last: Message) -> Message:
    assert last.join is not None
    mine = (arrivals.c.run_id == last.run_id, arrivals.c.join_id == last.join.id)
    bodies = select(events.c.body).join(arrivals, arrivals.c.seq == events.c.seq).where(*mine)
    there: tuple[Any, ...] = tuple(
        decode(body) for body in connection.execute(bodies.order_by(arrivals.c.slot)).scalars()
    )
    return JOINED_INTO[type(last)](run_id=last.run_id, generation=last.generation, arrivals=there)

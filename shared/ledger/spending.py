"""A run's counter of tokens and money: what was paid and what is under way, one row a run. Every worker adds
to it before it sends a request, in one statement that only fits below the caps: so they hold for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import and_, select, update

from shared.ledger.database import tried_again
from shared.ledger.ledger import Ledger
from shared.ledger.schema import spending

NAMES = ("usd", "tokens")
Amounts = Mapping[str, float]


@dataclass(frozen=True)
class Counter:
    """Of one run, for all of its workers."""

    ledger: Ledger
    run_id: str

    @tried_again
    def reserve(self, caps: Amounts, wanted: Amounts, before: Amounts) -> dict[str, float] | None:
        """Add `wanted` where it fits below the caps; else what is taken. `before`: what the run's log says it
        cost, for a run of an older version, which has no counter yet."""
        database = self.ledger.database
        with database.write() as connection:
            row = {"run_id": self.run_id} | {name: before[name] for name in NAMES}
            database.insert_once(connection, spending, row, spending.c.run_id)
            mine = spending.c.run_id == self.run_id
            fits = and_(*(spending.c[name] + wanted[name] <= cap for name, cap in caps.items()))
            more = {name: spending.c[name] + wanted[name] for name in NAMES}
            added = update(spending).where(mine, fits).values(more).returning(spending.c.run_id)
            if connection.execute(added).first() is not None:
                return None
            taken = connection.execute(select(spending).where(mine)).one()
            return {name: float(getattr(taken, name)) for name in NAMES}

    @tried_again
    def change(self, by: Amounts) -> None:
        """What was reserved has become what was paid."""
        with self.ledger.database.write() as connection:
            more = {name: spending.c[name] + by[name] for name in NAMES}
            connection.execute(update(spending).where(spending.c.run_id == self.run_id).values(more))

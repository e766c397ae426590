"""Short transactions on SQLite or PostgreSQL: everything that differs between the two stands here.

SQLite: WAL, BEGIN IMMEDIATE, a connection per transaction, never open across a fork. Synchronous NORMAL: a
commit survives kill -9 of any process; power loss may undo the last ones, never half of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Column, Connection, Table, create_engine, event, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from shared.children import no_fork
from shared.errors import LedgerError, SettingsError
from shared.ledger_schema import metadata

BUSY_S = 30.0  # how long a transaction waits for another process's
_NOW = {
    "sqlite": text("SELECT (julianday('now') - 2440587.5) * 86400.0"),
    "postgresql": text("SELECT extract(epoch FROM clock_timestamp())"),
}
_INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_MENDS = {
    "full": "free some space; nothing accepted is lost",
    "disk I/O": "is the disk full? nothing accepted is lost",
    "locked": "another process holds it; this is tried again",
    "no such table": "that file is no ledger: give a run made by `ratchet run`",
    "unable to open": "does its folder exist, and may this user write there?",
    "readonly": "give this user the right to write there",
}


class Database:
    """Opens nothing until the first transaction. Raises SettingsError for a URL that can't be a ledger."""

    def __init__(self, url: str) -> None:
        self.kind = url.partition(":")[0].partition("+")[0]
        if self.kind not in _NOW or url.rstrip("/") == "sqlite:" or ":memory:" in url:
            raise SettingsError(
                f"not a ledger URL: {url.partition('@')[2] or url}",
                "sqlite:////path or postgresql+psycopg://",
            )
        options = {"timeout": BUSY_S} if self.kind == "sqlite" else {}
        self.engine = create_engine(url, poolclass=NullPool, connect_args=options)
        if self.kind == "sqlite":
            event.listen(self.engine, "connect", _leave_transactions_to_us)
            event.listen(self.engine, "begin", _begin)

    def create_schema(self) -> None:
        with no_fork(), _as_ledger_error(), self.engine.connect() as connection:
            if self.kind == "sqlite":
                connection.connection.execute("PRAGMA journal_mode=WAL")  # stays with the file
            metadata.create_all(connection)
            connection.commit()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction, rolled back by an exception. Raises LedgerError when the database can't."""
        with no_fork(), _as_ledger_error(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent look; waits for no writer."""
        engine = self.engine.execution_options(ratchet_read=True)
        with no_fork(), _as_ledger_error(), engine.begin() as connection:
            yield connection

    def now(self, connection: Connection) -> float:
        """The database's clock: the only one that leases know."""
        return float(connection.execute(_NOW[self.kind]).scalar_one())

    def insert_once(
        self, connection: Connection, table: Table, row: dict[str, Any], key: Column[Any]
    ) -> Any | None:
        """The new row's `key`; None if the row was there already, in which case nothing changes."""
        insert: Any = _INSERT[self.kind](table)  # both dialects have this clause, without a common base
        insert = insert.values(row).on_conflict_do_nothing().returning(key)
        return connection.execute(insert).scalar_one_or_none()


def _leave_transactions_to_us(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.isolation_level = None  # else sqlite3 begins by itself, deferred
    dbapi_connection.execute("PRAGMA synchronous=NORMAL")


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get("ratchet_read", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


@contextmanager
def _as_ledger_error() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        reason = str(error.orig)
        mend = next((mend for sign, mend in _MENDS.items() if sign in reason), "is the database up?")
        raise LedgerError(f"the ledger can't be used: {reason}", mend) from error

"""Short transactions on SQLite or PostgreSQL: everything that differs between the two is here.

SQLite: WAL, BEGIN IMMEDIATE, a connection per transaction or (`keep_open`) per process, never open across a
fork. Synchronous NORMAL: a commit survives kill -9 of any process; power loss may undo the last ones, never
half of one.
PostgreSQL: READ COMMITTED and row locks, a small pool per process; the server ends the session of a client
that is frozen in the middle of a transaction.
"""

from __future__ import annotations

import functools
import os
import random
import select
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import URL, Column, Connection, Engine, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, Pool, QueuePool

from shared.children import close_before_fork, no_fork
from shared.errors import SettingsError
from shared.ledger.database_errors import UndoneError, as_ledger_error

BUSY_S = 30.0  # how long a transaction waits for another process's
PING_AFTER_S = 1.0  # without use, a connection is tried before it is used
MOST_TRIES = 8  # of a transaction that PostgreSQL undid in favour of another
PG_CONNECT: dict[str, Any] = {  # libpq's names; together they bound the wait for an unreachable server
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # milliseconds
    "application_name": "ratchet",
    "options": "-c lock_timeout=30s -c statement_timeout=60s -c idle_in_transaction_session_timeout=15s",
}
_NOW = {
    "sqlite": text("SELECT (julianday('now') - 2440587.5) * 86400.0"),
    "postgresql": text("SELECT extract(epoch FROM clock_timestamp())"),
}
_INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_READ: dict[str, dict[str, Any]] = {
    "sqlite": {"ratchet_read": True},
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
}
P = ParamSpec("P")
R = TypeVar("R")


class Database:
    """Opens nothing until the first transaction. Raises SettingsError for a URL that can't be a ledger."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.kind = url.partition(":")[0].partition("+")[0]
        try:
            if self.kind not in _NOW or url.rstrip("/") == "sqlite:" or ":memory:" in url:
                raise ValueError(self.kind)
            self.engine = (
                _sqlite_engine(url) if self.kind == "sqlite" else _postgresql_engine(url, os.getpid())
            )
        except (
            ValueError,
            ArgumentError,
            ImportError,
        ):  # a bad port, no URL at all, a driver that is not here
            raise SettingsError(
                f"not a ledger URL: {url.rpartition('@')[2]}",
                "sqlite:////path or postgresql+psycopg://user@host:5432/database",
            ) from None

    def keep_open(self) -> None:
        """For a process that writes all the time: a SQLite connection is left open from one transaction to
        the next, and closed before a fork."""
        if self.kind == "sqlite":
            self.engine = _sqlite_engine(self._url, QueuePool)
            close_before_fork(self.engine.dispose)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One write transaction, rolled back by an exception. Raises LedgerError when the database can't."""
        with self._no_fork(), as_ledger_error(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write_at_once(self) -> Iterator[Connection]:
        """For one statement that is a transaction by itself: on PostgreSQL one round trip, not three."""
        engine = self.engine
        if self.kind == "postgresql":
            engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        with self._no_fork(), as_ledger_error(), engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent read; waits for no writer."""
        engine = self.engine.execution_options(**_READ[self.kind])
        with self._no_fork(), as_ledger_error(), engine.begin() as connection:
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

    def _no_fork(self) -> AbstractContextManager[None]:
        """SQLite's connections do not survive a fork. PostgreSQL's do: a child leaves them alone."""
        return no_fork() if self.kind == "sqlite" else nullcontext()


def tried_again(method: Callable[P, R]) -> Callable[P, R]:
    """For a method that is one write transaction: do it anew when the database undid it in favour of another
    (a deadlock, a failed serialisation), after a short random pause."""

    @functools.wraps(method)
    def trying(*args: P.args, **kwargs: P.kwargs) -> R:
        for tries in range(1, MOST_TRIES):
            try:
                return method(*args, **kwargs)
            except UndoneError:
                time.sleep(random.random() * 0.01 * 2**tries)
        return method(*args, **kwargs)

    return trying


def _sqlite_engine(url: str, pool: type[Pool] = NullPool) -> Engine:
    """The file's path is taken as it stands: a folder's name may hold a ? or a %."""
    file = url.partition(":///")[2]
    if not file:
        raise ValueError(url)
    connect = {"timeout": BUSY_S, "check_same_thread": False}  # `no_fork` lets one thread in at a time
    engine = create_engine(URL.create("sqlite", database=file), poolclass=pool, connect_args=connect)
    event.listen(engine, "connect", _leave_transactions_to_us)
    event.listen(engine, "begin", _begin)
    return engine


@functools.cache
def _postgresql_engine(url: str, _pid: int) -> Engine:
    """One a process, shared by all ledgers: so its connections are counted. A child makes its own."""
    if (driver := make_url(url).get_driver_name()) != "psycopg":
        raise ValueError(driver)
    engine = create_engine(url, pool_size=4, max_overflow=6, connect_args=PG_CONNECT)
    event.listen(engine, "checkin", _note_use)
    event.listen(engine, "checkout", functools.partial(_ping_if_idle, engine))
    return engine


def _note_use(_connection: object, record: ConnectionPoolEntry) -> None:
    record.info["used_at_s"] = time.monotonic()


def _ping_if_idle(engine: Engine, connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    """The server may have ended the connection since. To test it each time would be a third of all round
    trips: one that was used just now is tested only if it has unread data, as after the server's last
    message."""
    idle_s = time.monotonic() - record.info.get("used_at_s", time.monotonic())
    came = select.poll()
    came.register(connection.pgconn.socket, select.POLLIN)
    if idle_s < PING_AFTER_S and not came.poll(0):
        return
    try:
        engine.dialect.do_ping(connection)
    except engine.dialect.dbapi.Error as error:  # type: ignore[union-attr]
        raise DisconnectionError from error  # the pool makes another


def _leave_transactions_to_us(dbapi_connection: Any, _record: object) -> None:
    dbapi_connection.isolation_level = None  # else sqlite3 begins by itself, deferred
    dbapi_connection.execute("PRAGMA synchronous=NORMAL")


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get("ratchet_read", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

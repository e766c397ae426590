"""The ledger's schema: made, brought up to date (Alembic), checked. A local run's file migrates itself; on
PostgreSQL `ratchet migrate` does it, and every other program refuses a schema that is not the one of this
version.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from shared.children import no_fork
from shared.errors import LedgerRefusedError
from shared.ledger.database_errors import as_ledger_error
from shared.ledger.schema import REVISION, metadata

if TYPE_CHECKING:
    from alembic.config import Config

    from shared.ledger.database import Database

OLDEST_POSTGRESQL = 130_000  # as the server counts: 13.0
FIRST = "0001"  # what a ledger without a revision is: such files were made before there were any
_LOCK = text("SELECT pg_advisory_xact_lock(7265746368)")  # one migration at a time; any number would do


def migrate(database: Database) -> list[str]:
    """Bring the schema up to date, in one transaction; the revisions that this took. Raises LedgerError."""
    if database.kind == "sqlite":
        _use_wal(database)
    with database.write() as connection:
        if database.kind == "postgresql":
            connection.execute(_LOCK)
        there = revision(connection)
        if there == REVISION:
            return []
        _refuse_newer(there)
        steps = pending(there)
        if there is None and database.kind == "sqlite":
            _make(connection)  # at once: a new file needs no Alembic, whose import takes a second
        else:
            _upgrade(connection, there)
        return steps


def settle_schema(database: Database) -> None:
    """A file is brought up to date; a server's schema is the operator's, and is only checked."""
    if database.kind == "sqlite":
        migrate(database)
    else:
        check_schema(database)


def missing_revisions(database: Database) -> list[str]:
    """What `migrate` would apply."""
    with database.read() as connection:
        there = revision(connection)
    _refuse_newer(there)
    return pending(there)


def check_schema(database: Database) -> None:
    """Raises LedgerRefusedError, with the hint, unless the schema is this version's; LedgerError if it can't
    be seen."""
    with database.read() as connection:
        if database.kind == "postgresql":
            refuse_old_server(int(connection.exec_driver_sql("SHOW server_version_num").scalar_one()))
        there = revision(connection)
    if there == REVISION:
        return
    if there is None:
        raise LedgerRefusedError("the ledger has no tables yet", "`ratchet migrate --ledger URL` makes them")
    if there < REVISION:
        raise LedgerRefusedError(
            f"the ledger's schema is at revision {there}, and this version of Ratchet needs {REVISION}",
            "`ratchet migrate --ledger URL`",
        )
    _refuse_newer(there)


def _refuse_newer(there: str | None) -> None:
    if there is not None and there > REVISION:
        raise LedgerRefusedError(
            f"the ledger's schema is at revision {there}, and this version of Ratchet only knows {REVISION}",
            "upgrade Ratchet here: a newer one has migrated this ledger",
        )


def refuse_old_server(number: int) -> None:
    if number < OLDEST_POSTGRESQL:
        raise LedgerRefusedError(
            f"this is PostgreSQL {number // 10_000}, and {OLDEST_POSTGRESQL // 10_000} or newer is needed",
            "use a newer server",
        )


def revision(connection: Connection) -> str | None:
    """The schema's revision; None: there are no tables."""
    tables = inspect(connection).get_table_names()
    if "alembic_version" in tables:
        found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        return None if found is None else str(found)
    return FIRST if "runs" in tables else None


def pending(there: str | None) -> list[str]:
    """The revisions that a schema at `there` lacks, as `NUMBER what it is for`."""
    names = sorted(Path(__file__).with_name("migrations").glob("versions/r*.py"))
    lacking = [path for path in names if there is None or path.stem[1:5] > there]
    return [f"{path.stem[1:5]} {path.stem[6:].replace('_', ' ')}" for path in lacking]


def _alembic_config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    return config


def _use_wal(database: Database) -> None:
    with as_ledger_error(), no_fork(), database.engine.connect() as connection:
        connection.connection.execute("PRAGMA journal_mode=WAL")  # stays with the file


def _make(connection: Connection) -> None:
    metadata.create_all(connection)
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": REVISION})


def _upgrade(connection: Connection, there: str | None, to: str = REVISION) -> None:
    from alembic import command

    config = _alembic_config()
    config.attributes["connection"] = connection
    if there == FIRST and not inspect(connection).has_table("alembic_version"):
        command.stamp(config, FIRST)
    command.upgrade(config, to)

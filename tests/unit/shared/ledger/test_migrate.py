"""The ledger's schema: every way to the newest one ends in the same tables, with what was in them; older and
newer ones are refused, with the hint."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from shared.errors import LedgerRefusedError
from shared.ledger.database import Database
from shared.ledger.ledger import Ledger
from shared.ledger.migrate import (
    _upgrade,
    check_schema,
    migrate,
    missing_revisions,
    refuse_old_server,
    revision,
)
from shared.ledger.schema import REVISION, metadata
from shared.messages import events as e
from tests.servers.postgres import PASSWORD, Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Without tables."""
    if request.param == "sqlite":
        return Database(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    server: Postgres = request.getfixturevalue("postgres")
    server.execute("DROP DATABASE IF EXISTS schema WITH (FORCE)")
    return Database(server.create("schema"))


def at_first_revision(database: Database) -> None:
    """A ledger of the first version, with a run in it."""
    with database.write() as connection:
        _upgrade(connection, None, "0001")
        connection.execute(text("INSERT INTO runs VALUES ('old', 'running', :stop)"), {"stop": False})


def differences(database: Database) -> list[object]:
    """Between the tables that are there and those that the code declares."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.read() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def test_a_new_ledger_has_the_tables_that_the_code_declares(database: Database) -> None:
    assert migrate(database) == ["0001 ledger", "0002 shared ledger", "0003 spending"]
    assert differences(database) == []
    check_schema(database)
    assert migrate(database) == []


def test_all_revisions_one_after_another_make_the_same_tables(database: Database) -> None:
    with database.write() as connection:
        _upgrade(connection, None)
    assert differences(database) == []


def test_an_older_ledger_is_brought_up_to_date_with_what_is_in_it(database: Database) -> None:
    at_first_revision(database)
    assert missing_revisions(database) == ["0002 shared ledger", "0003 spending"]
    with pytest.raises(LedgerRefusedError, match=r"at revision 0001.* needs 0003 .*ratchet migrate --ledger"):
        check_schema(database)
    assert migrate(database) == ["0002 shared ledger", "0003 spending"]
    assert differences(database) == []
    ledger = Ledger(database.engine.url.render_as_string(hide_password=False))
    assert len(ledger.submit([e.RunStarted(run_id="old", config="c")])) == 1


def test_a_file_from_before_there_were_revisions_is_brought_up_to_date(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    at_first_revision(database)
    with database.write() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    assert migrate(database) == ["0002 shared ledger", "0003 spending"]
    assert differences(database) == []


def test_a_ledger_without_tables_is_refused_with_the_command_that_makes_them(database: Database) -> None:
    with pytest.raises(LedgerRefusedError, match=r"no tables yet .*ratchet migrate --ledger"):
        check_schema(database)


def test_a_ledger_of_a_newer_version_is_refused_and_left_alone(database: Database) -> None:
    migrate(database)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0999'")
    for look in (check_schema, migrate, missing_revisions):
        with pytest.raises(LedgerRefusedError, match="upgrade Ratchet here"):
            look(database)
    with database.read() as connection:
        assert revision(connection) == "0999"


def test_two_migrations_at_once_end_in_one(database: Database) -> None:
    with ThreadPoolExecutor(2) as threads:
        applied = list(threads.map(lambda _: migrate(database), range(2)))
    assert sorted(map(len, applied)) == [0, 3]
    check_schema(database)


def test_a_migration_that_breaks_leaves_nothing_behind(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE names (in_the_way INTEGER)")
    at_first_revision(database)
    with pytest.raises(Exception, match="names"):
        migrate(database)
    with database.read() as connection:
        assert revision(connection) == "0001"
    assert "stack" not in columns(database, "runs")


def columns(database: Database, table: str) -> list[str]:
    with database.read() as connection:
        return [column["name"] for column in inspect(connection).get_columns(table)]


def test_the_newest_revision_is_the_one_that_the_code_names() -> None:
    versions = Path(migrate.__code__.co_filename).with_name("migrations") / "versions"
    assert max(path.stem[1:5] for path in versions.glob("r*.py")) == REVISION


def test_an_old_server_is_refused() -> None:
    refuse_old_server(130_000)
    with pytest.raises(LedgerRefusedError, match="this is PostgreSQL 12, and 13 or newer is needed"):
        refuse_old_server(120_017)

"""Connections and round trips: a SQLite connection that is kept open never crosses a fork; a job takes few
statements.
"""

import os
from pathlib import Path

import pytest
from sqlalchemy import event, text

from shared.errors import LedgerRefusedError, SettingsError
from shared.ledger.ledger import Ledger
from shared.ledger.migrate import check_schema
from shared.ledger.overdue import MOST_RINGS
from shared.ledger.schema import REVISION
from shared.messages import events as e


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:
    made = Ledger(ledger_url)
    made.create_schema()
    made.create_run("r")
    return made


def messages(count: int) -> list[e.Message]:
    return [e.RunStarted(run_id="r", config=str(number)) for number in range(count)]


def open_files(name: str) -> int:
    links = Path("/proc/self/fd").iterdir()
    return sum(os.path.basename(os.readlink(link)).startswith(name) for link in links if link.is_symlink())


def test_a_kept_connection_is_closed_before_a_fork_and_opened_again_after_it(tmp_path: Path) -> None:
    file = tmp_path / "kept.sqlite"
    ledger = Ledger(f"sqlite:///{file}")
    ledger.create_schema()
    ledger.database.keep_open()
    ledger.create_run("before")
    assert open_files("kept.sqlite") > 0

    child = os.fork()
    if child == 0:  # pragma: no cover - its exit code is what is asked for
        os._exit(open_files("kept.sqlite"))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ledger.create_run("after")
    assert ledger.run_states() == {"before": "running", "after": "running"}


@pytest.mark.parametrize(
    "name", ["what?", "50%25", "a#b", "项目", "x@y:z", "a&b=c", os.fsdecode(b"lat\xe9in")]
)
def test_a_ledgers_folder_may_have_any_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    ledger = Ledger(f"sqlite:///{tmp_path / name / 'ledger.sqlite'}")
    ledger.create_schema()
    ledger.database.keep_open()
    assert ledger.create_run("r")
    ledger.database.engine.dispose()
    assert [path.name for path in (tmp_path / name).iterdir()] == ["ledger.sqlite"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_url_without_a_file_is_no_ledger() -> None:
    for url in ("sqlite:", "sqlite://", "sqlite:///", "sqlite:ledger.sqlite", "sqlite:///:memory:"):
        with pytest.raises(SettingsError, match="not a ledger URL"):
            Ledger(url)


def test_a_job_takes_one_statement_to_claim_and_two_or_three_to_commit(ledger: Ledger) -> None:
    [ring] = ledger.submit(messages(1))
    seen: list[str] = []
    event.listen(ledger.database.engine, "before_cursor_execute", lambda *about: seen.append(about[2]))

    claim = ledger.claim(ring.job_id, "me")
    claimed = len(seen)
    assert claim is not None
    ledger.commit(ring.job_id, claim.fence, [e.BaseRequested(run_id="r", config="c")])

    own = [statement for statement in seen if not statement.startswith("BEGIN")]
    assert sum(not statement.startswith("BEGIN") for statement in seen[:claimed]) == 1
    assert len(own) - 1 == {"sqlite": 3, "postgresql": 2}[ledger.database.kind], own


def test_a_long_queue_is_rung_for_a_part_at_a_time_oldest_first(ledger_url: str) -> None:
    ledger = Ledger(ledger_url, ring_s=0.0)
    ledger.create_schema()
    ledger.create_run("r")
    rings = ledger.submit(messages(MOST_RINGS + 10))

    assert ledger.overdue() == rings[:MOST_RINGS]


def test_due_jobs_can_be_asked_for_a_few_at_a_time(ledger: Ledger) -> None:
    rings = ledger.submit(messages(5))
    assert ledger.due(limit=2) == rings[:2]
    assert ledger.due() == rings


def test_an_old_worker_goes_on_beside_a_newer_schema_and_none_starts_anew(ledger: Ledger) -> None:
    rings = ledger.submit(messages(3))
    with ledger.database.write() as connection:  # as a migration of tomorrow does it: columns are only added
        for table in ("jobs", "events", "runs"):
            connection.execute(text(f"ALTER TABLE {table} ADD COLUMN of_tomorrow VARCHAR"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    try:
        for ring, end in zip(rings, ("commit", "fail", "vanish"), strict=True):
            claim = ledger.claim(ring.job_id, "old")
            assert claim is not None
            assert ledger.renew(ring.job_id, claim.fence)
            if end == "commit":
                ledger.commit(ring.job_id, claim.fence, [e.BaseRequested(run_id="r", config="c")])
            elif end == "fail":
                ledger.fail(ring.job_id, claim.fence, "why", 0.0)
        ledger.overdue(lambda owner: owner == "old")
        states = {state for service, state in ledger.jobs("r") if service == "feedback"}
        assert states == {"done", "ready"}
        with pytest.raises(LedgerRefusedError, match="a newer one has migrated this ledger"):
            check_schema(ledger.database)
    finally:
        with ledger.database.write() as connection:  # the tests share a server
            for table in ("jobs", "events", "runs"):
                connection.execute(text(f"ALTER TABLE {table} DROP COLUMN of_tomorrow"))
            connection.execute(text("UPDATE alembic_version SET version_num = :now"), {"now": REVISION})

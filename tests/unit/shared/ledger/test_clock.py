"""The database's clock set back, on both databases: what waits is moved with it."""

from sqlalchemy import update

from shared.ledger.ledger import Ledger
from shared.ledger.schema import jobs, leaders
from shared.messages import events as e

RUN = "run-1"
ME, OTHER = "host/1/1", "host/2/2"


def opened(url: str) -> Ledger:
    ledger = Ledger(url)
    ledger.create_schema()
    ledger.create_run(RUN)
    return ledger


def test_a_clock_that_is_set_back_hides_no_job(ledger_url: str) -> None:
    """All times of the ledger an hour ahead is what a clock set back by an hour leaves."""
    ledger = opened(ledger_url)
    waiting, leased = (
        ledger.submit([e.RunStarted(run_id=RUN, config=name)])[0] for name in ("waits", "leased")
    )
    assert ledger.claim(leased.job_id, OTHER)
    assert ledger.elect("reconciler", OTHER, lease_s=-1.0)
    ledger.overdue()
    ahead = {
        column.name: column + 3600.0 for column in (jobs.c.not_before, jobs.c.lease_until, jobs.c.ring_at)
    }
    with ledger.database.write() as connection:
        connection.execute(update(jobs).values(ahead))
        connection.execute(update(leaders).values(lease_until=leaders.c.lease_until + 3600.0))
    assert ledger.due() == []

    ledger.overdue()

    assert ledger.due() == [waiting]
    assert ledger.claim(leased.job_id, ME) is None  # its lease runs on, for as long as it would have
    assert ledger.elect("reconciler", ME, lease_s=1.0)

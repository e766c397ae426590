"""A worker that freezes in the middle of a transaction does not hold up the others for long: PostgreSQL ends
its session, and what it began is undone."""

import subprocess
import sys

import pytest

from shared.ledger.ledger import Ledger
from shared.messages import events as e
from tests.servers import postgres as pg

pytestmark = [pytest.mark.live, pytest.mark.slow]

FREEZES = """
import sys, time
from shared.ledger.ledger import Ledger
ledger = Ledger(sys.argv[1])
with ledger.database.write() as connection:
    connection.exec_driver_sql("UPDATE jobs SET state = 'dead'")
    print("holding", flush=True)
    time.sleep(600)
"""


def test_the_rows_of_a_frozen_client_are_free_again_soon(
    postgres: pg.Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", pg.PASSWORD)
    url = postgres.empty_ledger()
    ledger = Ledger(url)
    ledger.create_run("r")
    [ring] = ledger.submit([e.RunStarted(run_id="r", config="c")])
    frozen = subprocess.Popen([sys.executable, "-c", FREEZES, url], stdout=subprocess.PIPE, text=True)
    try:
        assert frozen.stdout is not None
        assert frozen.stdout.readline() == "holding\n"
        claim = ledger.claim(ring.job_id, "another")  # waits until the server has ended the other's session
        assert claim is not None
        assert frozen.poll() is None
    finally:
        frozen.kill()
        frozen.wait()
        assert frozen.stdout is not None
        frozen.stdout.close()

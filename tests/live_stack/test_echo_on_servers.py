"""Four real workers of stand-in services on PostgreSQL, and on a Valkey that speaks TLS and knows a user with
few rights: the chain ends, each effect once, though the database restarts in the middle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ratchet.stack.local import LocalStack
from shared.config.settings import StackSettings
from shared.ledger.ledger import Ledger
from tests.live.stack.run_stack import WORKERS, EchoRun
from tests.servers import postgres as pg
from tests.servers import valkey
from tests.servers.proxy import Proxy, make_certificate

pytestmark = [pytest.mark.live, pytest.mark.slow]


@pytest.fixture
def settings(
    postgres: pg.Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StackSettings]:
    monkeypatch.setenv("PGPASSWORD", pg.PASSWORD)
    secret = tmp_path / "secret"
    secret.write_text(valkey.PASSWORD + "\n")
    authority, context = make_certificate(tmp_path)
    broker = valkey.Valkey()
    try:
        broker.start()
        with Proxy(broker.port, context) as proxy:
            where = f"{valkey.USER}@127.0.0.1:{proxy.port}/0?ssl_ca_certs={authority}"
            yield StackSettings(
                ledger_url=postgres.empty_ledger(),
                store_url=str(tmp_path / "store"),
                broker_url=f"rediss://{where}",
                broker_password=f"file:{secret}",
                cache_dir=tmp_path / "cache",
                queue_prefix="ratchet:echo:",
                lease_s=3.0,
                reconcile_s=0.5,
            )
    finally:
        broker.close()


def echo_run(folder: Path, settings: StackSettings) -> EchoRun:
    run = EchoRun(folder, "run-1")
    run.ledger = Ledger(settings.ledger_url)
    return run


def test_a_chain_ends_on_servers_with_tls_and_few_rights(settings: StackSettings, tmp_path: Path) -> None:
    run = echo_run(tmp_path, settings)
    with LocalStack(tmp_path, settings, WORKERS) as stack:
        run.start(stack, seconds_a_shard=0)
        run.finish(stack)
    run.assert_every_effect_once()
    assert "Connected to rediss://" in run.logs()
    assert pg.PASSWORD not in run.logs()
    assert valkey.PASSWORD not in run.logs() + (tmp_path / "stack.json").read_text()


def test_a_database_that_restarts_costs_nothing_but_time(
    settings: StackSettings, tmp_path: Path, postgres: pg.Postgres
) -> None:
    run = echo_run(tmp_path, settings)
    with LocalStack(tmp_path, settings, WORKERS) as stack:
        run.start(stack, seconds_a_shard=1)
        run.until(stack, lambda: run.ran("CandidatesProposed") >= 1)
        postgres.stop()
        postgres.start()
        run.finish(stack)
    run.assert_every_effect_once()


def test_workers_wait_for_a_database_that_is_away(
    settings: StackSettings, tmp_path: Path, postgres: pg.Postgres
) -> None:
    run = echo_run(tmp_path, settings)
    postgres.stop()
    with LocalStack(tmp_path, settings, WORKERS) as stack:
        run.until(stack, lambda: run.logs().count("waiting for the ledger") >= 4)
        postgres.start()
        run.start(stack, seconds_a_shard=0)
        run.finish(stack)
    run.assert_every_effect_once()
    assert all(program.deaths == 0 for program in stack.programs), os.listdir(tmp_path / "logs")


def test_workers_refuse_a_schema_that_is_not_theirs(
    settings: StackSettings, tmp_path: Path, postgres: pg.Postgres
) -> None:
    import subprocess
    import sys

    stack = tmp_path / "stack.json"
    stack.write_text(settings.model_copy(update={"ledger_url": postgres.url("postgres")}).model_dump_json())
    command = [sys.executable, "-m", "trainer_service.worker", "--stack", str(stack)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    [line] = done.stderr.strip().splitlines()
    assert "no tables yet (`ratchet migrate --ledger URL` makes them)" in line

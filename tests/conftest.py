"""Settings that every test shares: one torch thread, and no look at the network for models. And real servers,
started once a session by the first test that asks for one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.postgres import PASSWORD, Postgres

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a ledger without tables, for a test that must pass on both databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    server: Postgres = request.getfixturevalue("postgres")
    return server.empty_ledger()

"""Settings that every test shares: one torch thread, and no look at the network for models. And real servers,
started once a session by the first test that asks for one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import s3
from tests.servers.postgres import PASSWORD, Postgres
from tests.servers.swift import Swift
from tests.stores import KeptStore, in_bucket, in_folder

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


@pytest.fixture(scope="session")
def rclone() -> Iterator[s3.Server]:
    yield from s3.running(s3.Rclone())


@pytest.fixture(scope="session")
def moto() -> Iterator[s3.Server]:
    pytest.importorskip("moto", reason="`make test-live` installs it")
    yield from s3.running(s3.Moto())


@pytest.fixture(scope="session")
def swift() -> Iterator[s3.Server]:
    pytest.importorskip("swift", reason="`make test-live` installs it")
    yield from s3.running(Swift())


LIVE = (pytest.mark.live, pytest.mark.slow)


@pytest.fixture(
    params=["folder", "rclone", pytest.param("moto", marks=LIVE), pytest.param("swift", marks=LIVE)]
)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> KeptStore:
    """A store, for a test that must pass on each kind."""
    if request.param == "folder":
        return in_folder(tmp_path / "store")
    return in_bucket(request.getfixturevalue(request.param), tmp_path / "names.sqlite")

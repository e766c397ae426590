"""Settings that every test shares: one torch thread, and no look at the network for models. And real servers,
started once a session by the first test that asks for one; nothing of them is imported before."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.parts.stores import KeptStore
    from tests.servers.postgres import Postgres
    from tests.servers.s3 import Server

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
LIVE = (pytest.mark.live, pytest.mark.slow)
gc.disable()  # while tests are imported: nothing of that is garbage, and looking takes a fifth of the time


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def runs_replay_equal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the end, every run that the tests made in folders is derived again. (A toy world is at its own.)"""
    yield
    from tests.parts.replaying import replay_all_below

    replay_all_below(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    from tests.servers.postgres import Postgres

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
    server: Postgres = request.getfixturevalue("postgres")
    monkeypatch.setenv("PGPASSWORD", server.password)
    return server.empty_ledger()


@pytest.fixture(scope="session")
def rclone() -> Iterator[Server]:
    from tests.servers import s3

    yield from s3.running(s3.Rclone())


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    pytest.importorskip("moto", reason="`make test-live` installs it")
    from tests.servers import s3

    yield from s3.running(s3.Moto())


@pytest.fixture(scope="session")
def swift() -> Iterator[Server]:
    pytest.importorskip("swift", reason="`make test-live` installs it")
    from tests.servers.s3 import running
    from tests.servers.swift import Swift

    yield from running(Swift())


@pytest.fixture(
    params=["folder", "rclone", pytest.param("moto", marks=LIVE), pytest.param("swift", marks=LIVE)]
)
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> KeptStore:
    """A store, for a test that must pass on each kind."""
    from tests.parts.stores import in_bucket, in_folder

    if request.param == "folder":
        return in_folder(tmp_path / "store")
    return in_bucket(request.getfixturevalue(request.param), tmp_path / "names.sqlite")

"""A whole toy run with the real feedback service emits the same, message by message and digest by digest, on
PostgreSQL and S3 as on the parts that Ratchet brings. (Real workers and a real model: tests/live_stack.)"""

import shutil
from pathlib import Path

import pytest

from shared.config.secrets import open_store
from shared.config.settings import StackParts
from tests.loop.toy_world import World
from tests.servers import s3
from tests.servers.postgres import Postgres

SECTIONS = {"run": {"generations": 2}}


def messages_of(world: World) -> list[tuple[str, str]]:
    assert world.run().state == "done"
    return [(type(logged.event).__name__, logged.event.digest) for logged in world.ledger.events(world.name)]


def test_a_run_says_the_same_on_servers_as_on_its_own_parts(
    tmp_path: Path, postgres: Postgres, rclone: s3.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.SECRET)
    folder = tmp_path / "toy"
    on_own_parts = messages_of(World(folder, SECTIONS))
    shutil.move(folder, tmp_path / "aside")  # the task's path is a part of the config
    ledger = postgres.empty_ledger()
    parts = StackParts(ledger_url=ledger, store_url=rclone.url("same-decisions"))
    on_servers = messages_of(World(folder, SECTIONS, ledger_url=ledger, on_store=open_store(parts)))
    assert not (folder / "ledger.sqlite").exists()
    assert not (folder / "store").exists()
    assert on_servers == on_own_parts
    assert len(on_own_parts) > 20

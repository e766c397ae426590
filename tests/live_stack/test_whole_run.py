"""A whole small run on PostgreSQL, an S3 server, Valkey and a model server, each its own process, decides as
it does on the parts that Ratchet brings: same proposals, adapters and evidence, digest by digest."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratchet.runs.folder import RunFolder
from ratchet.tasks import new_task
from shared.ledger.history.folding import fold
from shared.ledger.history.state import Generation
from shared.messages import events as e
from shared.messages.evidence import GateRecord
from shared.messages.proposals import WeightUpdate
from shared.store.shards import get_shard
from shared.store.store import Store, get_json, get_record
from tests.chaos.test_real_run import SMALL, TINY_SEED
from tests.servers import postgres, s3, valkey

RATCHET = str(Path(sys.executable).with_name("ratchet"))
FEWER = {"training.steps": 4}
SECRETS = {
    "PGPASSWORD": postgres.PASSWORD,
    "AWS_ACCESS_KEY_ID": s3.ACCESS,
    "AWS_SECRET_ACCESS_KEY": s3.SECRET,
    "REDIS_PASSWORD": valkey.PASSWORD,
}
pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture
def broker() -> Iterator[valkey.Valkey]:
    server = valkey.Valkey()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task whose scores are the same each time, with a model that is made in seconds."""
    new_task.create(tmp_path / "words")
    manifest = tmp_path / "words" / "task.toml"
    text = manifest.read_text()
    for old, new in TINY_SEED.items():
        assert old in text
        text = text.replace(old, new)
    manifest.write_text(text)
    return tmp_path / "words"


def ratchet(*arguments: str, cwd: Path, secrets: dict[str, str]) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in SECRETS} | secrets
    command = [RATCHET, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def run(task: Path, root: Path, *where: str, secrets: dict[str, str]) -> RunFolder:
    root.mkdir()
    settings = [word for key, value in (SMALL | FEWER).items() for word in ("--set", f"{key}={value}")]
    options = ["--name", "same", "--root", str(root), "--json", *settings, *where]
    ratchet("run", str(task), *options, cwd=root, secrets=secrets)
    return RunFolder(root / "same")


def decided(folder: RunFolder) -> dict[str, Any]:
    """All that a run chose, by digest, and all that it saw; what a clock measured is left out."""
    store = folder.open_store()
    log = [logged.event for logged in folder.open_ledger().events(folder.run_id)]
    history = fold(folder.open_ledger().events(folder.run_id))
    found: dict[str, Any] = {
        "config": history.config,
        "base": history.base,
        "first": history.first,
        "last": history.release,
        "state": history.state,
        "test": get_json(store, history.test) if history.test else None,
        "opened": [
            (event.purpose, event.round, event.releases, event.instances, event.seeds)
            for event in log
            if isinstance(event, e.RolloutsOpened)
        ],
    }
    for number, generation in history.all.items():
        found[f"attempts {number}"] = list(attempts(store, generation))
    for generation in history.generations:
        assert generation.harness is not None
        assert generation.weights is not None
        update = get_record(store, generation.weights.digest, WeightUpdate)
        found[f"proposed {generation.number}"] = (
            generation.harness.digest,
            update.model_dump(exclude={"shards"}),
        )
        found[f"made {generation.number}"] = (generation.harness.made, generation.weights.made)
        record = get_record(store, generation.evidence, GateRecord) if generation.evidence else None
        record = record and record.model_copy(update={"waited_s": {}})
        found[f"decided {generation.number}"] = (generation.decision, generation.arm, record)
    return found


def attempts(store: Store, generation: Generation) -> Iterator[tuple[Any, ...]]:
    """Every attempt with its answer and its score, in the order of rollouts and slots."""
    for where, rollout in sorted(generation.rollouts.items()):
        for digest in rollout.results:
            for attempt in get_shard(store, digest).attempts:
                score = attempt.final.score if attempt.final else None
                yield where, attempt.plan, attempt.answer, score


def test_a_run_on_servers_decides_as_one_on_the_parts_that_ratchet_brings(
    task: Path,
    tmp_path: Path,
    postgres: postgres.Postgres,
    rclone: s3.Server,
    broker: valkey.Valkey,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = postgres.create("whole_run")
    ratchet("migrate", "--ledger", ledger, cwd=tmp_path, secrets=SECRETS)
    where = ("--ledger", ledger, "--store", rclone.url("whole/run"), "--broker", broker.parts.broker_url)
    on_servers = run(task, tmp_path / "servers", *where, secrets=SECRETS)
    for name in ("ledger.sqlite", "store", "broker"):
        assert not (on_servers.path / name).exists()
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
        holding = [
            path
            for path in on_servers.path.rglob("*")
            if path.is_file() and value in path.read_text(errors="replace")
        ]
        assert holding == [], f"{name} stands in a file"
    shown = json.loads(
        ratchet("show", "same", "--root", str(tmp_path / "servers"), "--json", cwd=tmp_path, secrets=SECRETS)
    )
    assert shown["state"] == "done"

    on_own_parts = run(task, tmp_path / "own", secrets={})
    there, here = decided(on_servers), decided(on_own_parts)
    assert there.keys() == here.keys()
    for what in here:
        assert there[what] == here[what], what
    assert {where for where, *_ in here["attempts 1"]} >= {("train", 0), ("screen", 0)}

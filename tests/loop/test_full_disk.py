"""A store without space stops nothing for good: jobs wait, and the run continues once there is space."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from shared.messages import events as e
from tests.loop.toy_world import RUN, World

SMALL = {"run": {"generations": 1}, "gate": {"max_pairs": 8, "round_instances": 8, "test_instances": 4}}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own for the store. Only root may have one."""
    store = tmp_path / "store"
    store.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a disk of its own takes root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "ratchet-test", store], check=False)
    if mounted.returncode != 0:
        pytest.skip("no disk can be mounted here")
    yield store
    subprocess.run(["umount", store], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    assert shutil.disk_usage(disk).free == 0
    return filler


def test_a_run_waits_for_space_and_then_ends_as_if_nothing_had_been(tmp_path: Path, disk: Path) -> None:
    world = World(tmp_path, SMALL)
    world.bus.bus.jitter = lambda: 0.99  # hardly any wait
    filler = fill(disk)
    world.bus.submit([e.RunStarted(run_id=RUN, config=world.config_digest)])

    tried = world.bus.drain(max_jobs=world.ledger.max_attempts + 2)

    assert tried == world.ledger.max_attempts + 2
    assert world.ledger.jobs(RUN) == {("feedback", "ready"): 1}  # neither lost nor given up
    filler.unlink()
    world.bus.drain()
    assert world.ledger.run_state(RUN) == "done"
    assert not [logged for logged in world.ledger.events(RUN) if isinstance(logged.event, e.JobDied)]

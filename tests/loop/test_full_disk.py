"""A store or a ledger without space stops nothing for good: what was accepted stays, jobs wait, and the run
continues once there is space.
"""

import itertools
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from shared.errors import LedgerError
from shared.ledger.ledger import Ledger
from shared.messages import events as e
from tests.loop.toy_world import RUN, World
from tests.parts.small_disk import small_disk

SMALL = {"run": {"generations": 1}, "gate": {"max_pairs": 8, "round_instances": 8, "test_instances": 4}}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Where a World has its store."""
    with small_disk(tmp_path / "store") as place:
        yield place


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


def test_a_ledger_without_space_refuses_and_keeps_all_that_it_accepted(disk: Path) -> None:
    ledger = Ledger(f"sqlite:///{disk / 'ledger.sqlite'}")
    ledger.create_schema()
    ledger.create_run(RUN)
    ledger.database.keep_open()  # as a worker does
    [first] = ledger.submit([e.RunStarted(run_id=RUN, config="first")])
    filler = fill(disk)
    accepted = ["first"]
    with pytest.raises(LedgerError, match="nothing accepted is lost") as refused:
        submit_for_ever(ledger, accepted)  # some still fit into the pages that there are
    assert refused.value.transient
    assert len(ledger.events(RUN)) == len(accepted)  # readers see it as it is

    filler.unlink()
    claim = ledger.claim(first.job_id, "host/1/1")
    assert claim is not None
    ledger.commit(claim.job_id, claim.fence, [])
    configs = [logged.event.config for logged in ledger.events(RUN)]
    ledger.database.engine.dispose()
    assert configs == accepted


def submit_for_ever(ledger: Ledger, accepted: list[str]) -> None:
    for number in itertools.count():
        ledger.submit([e.RunStarted(run_id=RUN, config=str(number) * 100)])
        accepted.append(str(number) * 100)

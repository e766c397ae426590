"""Dead jobs that are tried again: only where their loss has not been counted, and as a new fact."""

from pathlib import Path

import pytest

from feedback_service.course.situation import Deps
from feedback_service.handlers import on_job_died
from shared.config.settings import AdvisorSection
from shared.errors import SettingsError
from shared.ledger.history.folding import fold
from shared.ledger.ledger import Ledger
from shared.ledger.steering.reviving import revive
from shared.messages import events as e
from shared.messages.records import ArmRelease, Release
from shared.model.client import Chat
from shared.store.store import LocalStore

ME = "me"
RELEASE = Release(base="b", harness="h")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}", max_attempts=1)
    made.create_schema()
    made.create_run("r")
    opened = e.RolloutsOpened(
        run_id="r",
        generation=1,
        config="c",
        purpose="train",
        releases=(ArmRelease(arm="train", release=RELEASE),),
        instances="i",
        seeds=(1,),
    )
    made.submit([opened, shard("0"), shard("1")])
    return made


def shard(slot: str) -> e.ShardOpened:
    join = e.Join(id="j", slot=slot, expected=2)
    return e.ShardOpened(run_id="r", generation=1, join=join, config="c", purpose="train", plan=slot)


def finished(slot: str) -> e.ShardFinished:
    join = e.Join(id="j", slot=slot, expected=2)
    return e.ShardFinished(run_id="r", generation=1, join=join, purpose="train", result=f"result {slot}")


def job_of(ledger: Ledger, kind: str, slot: str = "") -> str:
    due = [ring.job_id for ring in ledger.due() if ring.type == kind]
    for job_id in due:
        claim = ledger.claim(job_id, ME)
        assert claim is not None
        if not slot or (claim.event.join and claim.event.join.slot == slot):
            ledger.fail(job_id, claim.fence, "put back", 0.0, transient=True)
            return job_id
        ledger.fail(job_id, claim.fence, "put back", 0.0, transient=True)
    raise AssertionError(f"no {kind}")


def kill(ledger: Ledger, tmp_path: Path, job_id: str) -> None:
    """The job dies, and feedback reports its loss."""
    claim = ledger.claim(job_id, ME)
    assert claim is not None
    [ring] = ledger.fail(job_id, claim.fence, "boom", None)
    death = ledger.claim(ring.job_id, ME)
    assert death is not None

    def none(section: AdvisorSection) -> Chat:
        raise AssertionError

    deps = Deps(ledger=ledger, store=LocalStore(tmp_path / "store"), advisor_of=none)
    assert isinstance(death.event, e.JobDied)
    ledger.commit(ring.job_id, death.fence, on_job_died(death.event, deps=deps))


def joined(ledger: Ledger) -> list[e.RolloutsJoined]:
    return [one.event for one in ledger.events("r") if isinstance(one.event, e.RolloutsJoined)]


def do(ledger: Ledger, job_id: str, emitted: e.Message) -> None:
    claim = ledger.claim(job_id, ME)
    assert claim is not None
    ledger.commit(job_id, claim.fence, [emitted])


def test_a_dead_job_is_done_after_all_and_its_loss_is_made_good(ledger: Ledger, tmp_path: Path) -> None:
    one = job_of(ledger, "shard_opened.v1", "0")
    kill(ledger, tmp_path, one)
    assert [ring.job_id for ring in revive(ledger, "r").rings] == [one]
    do(ledger, one, finished("0"))
    do(ledger, job_of(ledger, "shard_opened.v1"), finished("1"))
    [gathered] = joined(ledger)
    assert [arrival.result for arrival in gathered.arrivals] == ["result 0", "result 1"]
    assert fold(ledger.events("r")).all[1].rollouts["train", 0].results == ["result 0", "result 1"]


def test_a_job_that_dies_again_is_a_new_loss_and_the_run_goes_on(ledger: Ledger, tmp_path: Path) -> None:
    one = job_of(ledger, "shard_opened.v1", "0")
    for _ in range(3):
        kill(ledger, tmp_path, one)
        assert len(revive(ledger, "r").rings) == 1
    kill(ledger, tmp_path, one)
    do(ledger, job_of(ledger, "shard_opened.v1"), finished("1"))
    [gathered] = joined(ledger)
    assert [arrival.result for arrival in gathered.arrivals] == [None, "result 1"]


def test_a_loss_that_has_been_counted_stays_one(ledger: Ledger, tmp_path: Path) -> None:
    kill(ledger, tmp_path, job_of(ledger, "shard_opened.v1", "0"))
    do(ledger, job_of(ledger, "shard_opened.v1"), finished("1"))
    assert len(joined(ledger)) == 1
    revived = revive(ledger, "r")
    assert (revived.rings, revived.too_late) == ([], 1)


def test_a_run_that_has_ended_has_nothing_to_try_again(ledger: Ledger) -> None:
    do(ledger, job_of(ledger, "shard_opened.v1"), e.RunFinished(run_id="r", state="done", why="over"))
    with pytest.raises(SettingsError, match=r"has ended .done."):
        revive(ledger, "r")

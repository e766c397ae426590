"""A run that has ended continues, or is ended for good: nothing opens twice, and every state has a hint."""

from pathlib import Path

import pytest

from ratchet.runs.control.extending import extend
from ratchet.runs.folder import RunFolder
from shared.errors import SettingsError
from shared.ledger.steering import reopening
from shared.messages import events as e
from shared.messages.records import Release
from shared.store.store import put_bundle
from tests.loop.toy_world import World, purposes
from tests.parts.replaying import must_replay_equal

GATE = {"screen_instances": 4, "round_instances": 6, "max_pairs": 18, "test_instances": 4}
ONE = {"run": {"generations": 1}, "gate": GATE}


def world(folder: Path, sections: dict[str, object] | None = None, **changes: object) -> World:
    return World(folder / "toy", ONE | (sections or {}), **changes)  # type: ignore[arg-type]


def go_on(made: World) -> None:
    made.bus.drain()
    must_replay_equal(made.ledger, made.name, made.store)


def folder_of(made: World) -> RunFolder:
    return RunFolder(made.folder)


def test_a_run_that_is_done_continues_with_its_next_generation(tmp_path: Path) -> None:
    made = world(tmp_path, {"budget": {"evaluations": 5000}})
    first = made.run().release
    before = len(made.opened)
    line = extend(folder_of(made), 3, ["budget.evaluations=9000"])
    assert line == "toy may do 3 generations, and use evaluations 9,000"
    assert made.ledger.run_state("toy") == "running"
    go_on(made)
    history = made.history()
    assert (history.state, len(history.generations)) == ("done", 3)
    assert history.generations[1].release == first
    assert purposes(made.opened[before:])[0] == "train"  # no base, no first generation again
    assert (
        len([logged for logged in made.ledger.events("toy") if isinstance(logged.event, e.RunFinished)]) == 2
    )


def test_the_sealed_test_is_not_opened_anew_for_the_same_releases(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.run()
    made.gain = lambda harness, adapter: 0.5 - 0.2 * harness - 0.2 * adapter  # from now on nothing is better
    made.refuse_harness = made.fail_training = True
    extend(folder_of(made), 2, [])
    go_on(made)
    assert purposes(made.opened).count("test") == 1
    assert made.history().state == "done"
    assert made.history().test is not None


@pytest.mark.slow
def test_after_another_promotion_the_same_sealed_instances_are_opened_once_more_and_it_is_said(
    tmp_path: Path,
) -> None:
    made = world(tmp_path, {"gate": GATE | {"max_pairs": 36}}, fail_training=True)
    assert made.run().promotions
    made.fail_training = False
    extend(folder_of(made), 2, [])
    go_on(made)
    history = made.history()
    assert len(history.promotions) == 2
    tests = [event for event in made.opened if event.purpose == "test"]
    assert (tests[0].instances, tests[0].seeds) == (tests[1].instances, tests[1].seeds)
    assert "(opened for the 2. time, on the same instances)" in history.why


@pytest.mark.slow
def test_an_idle_run_that_is_extended_counts_its_barren_generations_anew(tmp_path: Path) -> None:
    made = world(
        tmp_path, {"run": {"generations": 9}, "convergence": {"window": 1, "idle": 2}},
        refuse_harness=True, fail_training=True,
    )  # fmt: skip
    assert len(made.run().generations) == 2
    extend(folder_of(made), None, [])
    go_on(made)
    assert len(made.history().generations) == 4
    assert "idle at 2" in made.history().why


def test_a_run_under_way_reads_its_new_limit_at_its_next_decision(tmp_path: Path) -> None:
    made = world(tmp_path)

    def extend_in_the_screen(event: e.RolloutsOpened) -> bool:
        if event.purpose == "screen" and event.generation == 1:
            extend(folder_of(made), 2, [])
        return False

    made.lose = extend_in_the_screen
    assert len(made.run().generations) == 2


@pytest.mark.parametrize(
    ("generations", "overrides", "message"),
    [
        (1, [], "all 1 generations of toy are done"),
        (None, ["gate.alpha=0.4"], "gate can't change within a run"),
        (2, ["budget.evaluations=1"], "limits only rise"),
    ],
)
def test_limits_that_would_change_nothing_or_too_much_are_refused(
    generations: int | None, overrides: list[str], message: str, tmp_path: Path
) -> None:
    made = world(tmp_path)
    made.run()
    with pytest.raises(SettingsError, match=message) as refused:
        extend(folder_of(made), generations, overrides)
    assert refused.value.hint
    assert made.ledger.run_state("toy") == "done"


def test_a_cancelled_run_ends_at_once_without_its_test_and_for_good(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.bus.submit([e.RunStarted(run_id="toy", config=made.config_digest)])
    made.bus.drain(until=lambda: "screen" in purposes(made.opened))
    assert reopening.cancel(made.ledger, "toy") == 1
    assert made.bus.drain() == 0
    assert (made.history().state, made.ledger.run_state("toy")) == ("cancelled", "cancelled")
    assert "test" not in purposes(made.opened)
    for refused in (
        lambda: reopening.cancel(made.ledger, "toy"),
        lambda: reopening.reopen(made.ledger, "toy"),
        lambda: extend(folder_of(made), 5, []),
    ):
        with pytest.raises(SettingsError, match="cancelled") as error:
            refused()
        assert error.value.hint


def test_a_worker_that_holds_a_job_of_a_cancelled_run_writes_nothing(tmp_path: Path) -> None:
    made = world(tmp_path)

    def cancel_meanwhile(event: e.RolloutsOpened) -> bool:
        reopening.cancel(made.ledger, "toy")
        return False

    made.lose = cancel_meanwhile
    history = made.run()
    assert history.state == "cancelled"
    assert not any(isinstance(one.event, e.ShardFinished) for one in made.ledger.events("toy"))


def test_a_run_whose_requests_were_all_refused_is_reopened_when_they_are_taken(tmp_path: Path) -> None:
    made = world(tmp_path, refused="no such model")
    assert made.run().state == "failed"
    assert reopening.reopen(made.ledger, "toy") == 0  # its jobs are done: the rollouts are opened anew
    go_on(made)
    assert made.history().state == "failed"  # the cause is still there, and the run has ended again
    made.refused = ""
    reopening.reopen(made.ledger, "toy")
    go_on(made)
    history = made.history()
    assert (history.state, [one.decision for one in history.generations]) == ("done", ["promoted"])
    trained = [event for event in made.opened if event.purpose == "train"]
    assert [event.round for event in trained] == [0, 1, 2]
    assert len({event.instances for event in trained}) == 1


def test_a_run_whose_sealed_test_was_lost_is_reopened_with_its_test(tmp_path: Path) -> None:
    made = world(tmp_path, lose=lambda event: event.purpose == "test")
    assert made.run().state == "failed"
    made.lose = lambda event: False
    reopening.reopen(made.ledger, "toy")
    go_on(made)
    assert made.history().state == "done"
    assert purposes(made.opened).count("train") == 1


def test_a_run_that_a_dead_job_ended_is_reopened_with_that_job(tmp_path: Path) -> None:
    made = world(tmp_path)
    verifier = tmp_path / "toy" / "task" / "verifier.py"
    good = verifier.read_text()
    verifier.write_text("def draw(split, count, seed):\n    raise OSError('the disk was away')\n")
    history = made.run()
    assert (history.state, "the disk was away" in history.why) == ("failed", True)
    assert reopening.reopen(made.ledger, "toy") >= 1
    verifier.write_text(good)
    go_on(made)
    assert made.history().state == "done"


def test_a_base_that_could_not_be_made_is_made_again(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.no_base = "no room"
    assert made.run().state == "failed"
    assert reopening.reopen(made.ledger, "toy") == 1
    go_on(made)
    assert made.history().state == "failed"  # still no room: the same reason is another end
    made.no_base = ""
    reopening.reopen(made.ledger, "toy")
    go_on(made)
    assert made.history().state == "done"


def test_the_time_between_an_end_and_its_extension_is_no_wall_time(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.run()
    with made.ledger.database.write() as connection:
        connection.exec_driver_sql("UPDATE events SET at = at - 100000")
    extend(folder_of(made), 2, [])
    go_on(made)
    assert made.history().elapsed_s < 1000


def test_a_run_may_start_from_a_release_of_another(tmp_path: Path) -> None:
    made = world(tmp_path)
    files = {
        name: (tmp_path / "toy" / "task" / "harness" / name).read_bytes()
        for name in ("harness.toml", "scaffold.py")
    }
    files["harness.toml"] = files["harness.toml"].replace(b'value = "free"', b'value = "round"')
    start = Release(base="b" * 64, harness=put_bundle(made.store, files), adapter="a" * 64)
    config = made.config_digest
    history = made.run(e.RunStarted(run_id="toy", config=config, start=start, origin="other:2"))
    assert (history.first, history.origin, history.state) == (start, "other:2", "done")
    assert not any(isinstance(one.event, e.BaseRequested) for one in made.ledger.events("toy"))

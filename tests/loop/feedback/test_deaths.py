"""A dead job becomes the arrival that it would have made, or the run's end; deciding twice decides alike."""

from pathlib import Path

import pytest

from feedback_service.course.situation import Deps
from feedback_service.handlers import handlers, on_job_died
from shared.bus.bus import Handler
from shared.messages import events as e
from shared.messages.records import ArmRelease, Release
from shared.messages.routes import HANDLED_BY
from tests.loop.toy_world import RUN, World

JOIN = e.Join(id="j", slot="3", expected=4)
WHERE = {"run_id": RUN, "generation": 2, "join": JOIN}
SHARD = {**WHERE, "config": "c", "purpose": "confirm", "round": 1}
RELEASE = Release(base="b", harness="h")


@pytest.fixture(scope="module")
def deps(tmp_path_factory: pytest.TempPathFactory) -> Deps:
    made = World(tmp_path_factory.mktemp("deaths"))
    return Deps(ledger=made.ledger, store=made.store, advisor_of=made.advisor)


def died(message: e.Message, deps: Deps) -> list[e.Message]:
    body = message.model_dump(mode="json")
    event = e.JobDied(run_id=RUN, job_id="x", service="agent", event=body, reason="no luck", attempts=4)
    return on_job_died(event, deps=deps)


@pytest.mark.parametrize(
    "message",
    [
        e.ShardOpened(**SHARD, plan="p"),
        e.CandidatesProposed(**SHARD, check="final", turn=1, state="s", batch="b"),
        e.CandidatesScored(**SHARD, check="final", turn=1, state="s", batch="b", scores="x"),
    ],
)
def test_a_dead_shard_arrives_as_lost(message: e.Message, deps: Deps) -> None:
    (emitted,) = died(message, deps)
    assert isinstance(emitted, e.ShardFinished)
    assert (emitted.join, emitted.generation, emitted.purpose, emitted.round) == (JOIN, 2, "confirm", 1)
    assert emitted.result is None
    assert "no luck" in emitted.reason


def test_a_dead_proposal_arrives_as_refused(deps: Deps) -> None:
    harness = e.HarnessProposed(**WHERE, config="c", patch="p", smoke=(), reason="r")
    weights = e.WeightUpdateProposed(**WHERE, config="c", release=RELEASE, update="u", reason="r")
    answers = e.DemonstrationsRequested(**WHERE, config="c", harness="h", count=8, seed=1)
    (refused,), (failed,) = died(harness, deps), died(weights, deps)
    (untaught,) = died(answers, deps)
    assert isinstance(refused, e.HarnessRefused)
    assert isinstance(failed, e.WeightUpdateFailed)
    assert isinstance(untaught, e.WeightUpdateFailed)
    assert refused.join == failed.join == untaught.join == JOIN


def test_what_nothing_waits_for_ends_in_silence(deps: Deps) -> None:
    promoted = e.ReleasePromoted(run_id=RUN, release=RELEASE, arm="both", evidence="e", why="w")
    assert died(promoted, deps) == []


def test_a_dead_base_ends_the_run_with_the_reason(deps: Deps) -> None:
    (emitted,) = died(e.BaseRequested(run_id=RUN, config="c"), deps)
    assert isinstance(emitted, e.BaseFailed)
    opened = e.RolloutsOpened(
        run_id=RUN, config="c", purpose="train", releases=(ArmRelease(arm="train", release=RELEASE),),
        instances="i", seeds=(1,),
    )  # fmt: skip
    (ended,) = died(opened, deps)
    assert isinstance(ended, e.RunFinished)
    assert ended.state == "failed"
    assert "RolloutsOpened" in ended.why


def test_an_unreadable_job_ends_the_run(deps: Deps) -> None:
    event = e.JobDied(run_id=RUN, job_id="x", service="agent", event={"type": "x.v9"}, reason="", attempts=1)
    (emitted,) = on_job_died(event, deps=deps)
    assert isinstance(emitted, e.RunFinished)
    assert emitted.state == "failed"


def test_a_run_that_can_not_get_a_base_fails_and_ends(tmp_path: Path) -> None:
    made = World(tmp_path)
    made.bus.submit([e.BaseFailed(run_id=RUN, reason="no corpus")])
    made.bus.drain()
    assert made.ledger.run_state(RUN) == "failed"
    assert "no corpus" in made.history().why


def test_feedback_hears_what_the_routes_say(deps: Deps) -> None:
    assert set(handlers(deps)) == {kind for kind, service in HANDLED_BY.items() if service == "feedback"}


def test_a_job_handled_twice_says_the_same_to_the_byte(tmp_path: Path) -> None:
    made = World(tmp_path, {"run": {"generations": 1}}, wrap=twice)
    assert made.run().state == "done"


def twice(handler: Handler) -> Handler:
    def handle(event: e.Message) -> list[e.Message]:
        first, second = handler(event), handler(event)
        assert [emitted.digest for emitted in first] == [emitted.digest for emitted in second]
        return first

    return handle


def test_runs_with_other_names_and_the_same_seed_decide_alike(tmp_path: Path) -> None:
    runs = [World(tmp_path / name, {"run": {"generations": 1}}, name=name) for name in ("one", "two")]
    whys = [made.run().generations[0].why for made in runs]
    assert whys[0] == whys[1]

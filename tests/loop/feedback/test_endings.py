"""How whole runs end: by a stop, a budget or idleness, or as failed where nothing could be measured."""

from pathlib import Path

import pytest

from shared.messages import events as e
from tests.loop.feedback.test_course import world
from tests.loop.toy_world import RUN, purposes


def test_a_stop_ends_the_run_after_the_present_generation_with_its_test(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.bus.submit([e.StopRequested(run_id=RUN)])
    history = made.run()
    assert history.state == "stopped"
    assert purposes(made.opened) == ["test"]  # asked for before the first generation was opened


def test_a_budget_is_never_broken_and_keeps_room_for_the_sealed_test(tmp_path: Path) -> None:
    # a generation needs 48 (train) + 48 (screen) + 48 (first round), the test 24, and 36 pairs 144
    made = world(tmp_path, sections={"run": {"generations": 9}, "budget": {"evaluations": 200}})
    history = made.run()
    assert history.state == "budget"
    assert len(history.generations) == 1
    assert purposes(made.opened)[-1] == "test"
    assert history.cost.evaluations <= 200


def test_generations_that_promote_nothing_end_an_idle_run(tmp_path: Path) -> None:
    rule = {"window": 1, "idle": 2}
    made = world(tmp_path, refuse_harness=True, fail_training=True,
                 sections={"run": {"generations": 9}, "convergence": rule})  # fmt: skip
    history = made.run()
    assert len(history.generations) == 2
    assert "idle at 2" in history.why


def test_a_run_whose_sealed_test_was_lost_to_the_endpoint_has_failed(tmp_path: Path) -> None:
    history = world(tmp_path, lose=lambda event: event.purpose == "test").run()
    assert history.state == "failed"
    assert "could not be scored" in history.why


def test_a_run_whose_every_request_is_refused_has_failed_with_that_reason(tmp_path: Path) -> None:
    history = world(tmp_path, refused="no chat template").run()
    assert history.state == "failed"
    assert "train attempts were refused: no chat template" in history.why


@pytest.mark.parametrize("ending", ["reasoning", "content_filter"])
def test_a_run_whose_every_reply_is_without_an_answer_has_failed_at_once(tmp_path: Path, ending: str) -> None:
    made = world(tmp_path, ending=ending)
    history = made.run()
    assert history.state == "failed"
    assert "no reply holds an answer" in history.why
    assert purposes(made.opened) == ["train"]

"""Scores that users posted for served answers: what the task made of them is trained on, in a run that is
extended and in one that starts from the served release; it judges nothing."""

from collections import Counter
from pathlib import Path

import pytest

from ratchet.runs.control.extending import extend
from ratchet.runs.folder import RunFolder
from ratchet.serving.answerer import Answer
from ratchet.serving.feedback import Feedback
from shared.decisions.posted import mixed
from shared.errors import TaskError
from shared.messages import events as e
from shared.store.store import get_json, put_json
from tests.loop.toy_world import VERIFIER, World
from tests.parts.replaying import must_replay_equal

GATE = {"screen_instances": 4, "round_instances": 6, "max_pairs": 18, "test_instances": 4}
TAKES = """
def from_feedback(posted):
    return posted["instance"] if posted["score"] > 0 else "a score above 0 is needed"


def score(instance, answer):
    return 0.5
"""


def world(folder: Path, verifier: str = TAKES) -> World:
    made = World(folder / "toy", {"run": {"generations": 1}, "rollouts": {"instances": 6}, "gate": GATE})
    (made.folder / "task" / "verifier.py").write_text(VERIFIER + verifier)
    (made.folder / "config.json").write_text(made.config.model_dump_json())
    return made


def post(made: World, number: int, score: float = 1.0) -> e.ScorePosted:
    feedback, name = Feedback(RunFolder(made.folder)), f"ratchet-{number:032x}"
    feedback.remember(name, {"id": f"asked-{number}", "number": number}, Answer("x", "", "digest"))
    return feedback.post(name, score, "", "")


def numbers(made: World, opened: e.RolloutsOpened) -> list[int]:
    """Of the posted instances in these rollouts."""
    return [item["number"] for item in get_json(made.store, opened.instances) if "number" in item]


def test_an_extended_run_trains_on_posted_instances_and_judges_by_none_of_them(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.run()
    for number in range(5):
        post(made, number)
    assert post(made, 9, score=0.0).why == "a score above 0 is needed"
    extend(RunFolder(made.folder), 3, [])
    made.bus.drain()
    must_replay_equal(made.ledger, made.name, made.store)
    trained = [event for event in made.opened if event.purpose == "train"]
    assert [numbers(made, event) for event in trained] == [[], [0, 1, 2], [3, 4, 0]]
    assert [len(get_json(made.store, event.instances)) for event in trained] == [6, 6, 6]
    judged = [event for event in made.opened if event.purpose != "train"]
    assert judged
    assert not any(numbers(made, event) for event in judged)


def test_a_run_from_a_served_release_trains_on_what_was_posted_there(tmp_path: Path) -> None:
    made = world(tmp_path)
    brought = put_json(made.store, [{"id": "posted-1", "number": 1}, {"id": "posted-2", "number": 2}])
    made.run(e.RunStarted(run_id=made.name, config=made.config_digest, posted=brought))
    (trained,) = [event for event in made.opened if event.purpose == "train"]
    assert numbers(made, trained) == [1, 2]


def test_a_task_that_makes_nothing_of_a_score_keeps_it_and_says_so(tmp_path: Path) -> None:
    made = world(tmp_path, "")
    made.run()
    event = post(made, 1, score=0.5)
    assert (event.instance, event.why) == ("", "its verifier has no from_feedback")
    assert made.history().scores[event.answer_id].score == 0.5


def test_a_broken_from_feedback_and_an_instance_that_cant_be_scored_are_told(tmp_path: Path) -> None:
    made = world(tmp_path, "def from_feedback(posted):\n    return posted['no such']\n")
    made.run()
    with pytest.raises(TaskError, match="no such"):
        post(made, 1)
    raising = TAKES.replace("return 0.5", "return instance['no such']")
    (made.folder / "task" / "verifier.py").write_text(VERIFIER + raising)
    assert "can't score it: KeyError" in post(made, 2).why


def test_half_of_the_instances_at_most_are_posted_ones() -> None:
    drawn = [{"id": f"d{number}"} for number in range(4)]
    posted = [{"id": f"p{number}"} for number in range(4)]
    names = [item["id"] for item in mixed(drawn, posted, Counter({"p0": 1}), 4)]
    assert names == ["p1", "p2", "d0", "d1"]
    assert [item["id"] for item in mixed(drawn, posted[:1], Counter(), 4)] == ["p0", "d0", "d1", "d2"]

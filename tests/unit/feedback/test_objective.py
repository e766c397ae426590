"""The choice of a learning algorithm: one test a row of the table in docs/weights.md."""

from dataclasses import replace

import pytest

from feedback_service.propose.analyst import evidence_of, propose_update
from feedback_service.propose.diagnosis import diagnose
from feedback_service.propose.objective import Choice, Evidence, choose, density, group_size
from shared.config.settings import TrainingSection
from shared.messages.analysis import Learning
from shared.messages.events import DemonstrationsReady
from shared.messages.proposals import WeightUpdate
from shared.messages.records import AttemptState, Parent, Turn
from shared.tasks.task import ScoreSection
from tests.unit.feedback.attempts import attempt, shard

GRADED = Evidence(replies=64, mean=0.4, sd=0.2, skewness=0.1, zero=0.1, group=4.0)


@pytest.mark.parametrize(
    ("changes", "algorithm"),
    [
        ({"demonstrations": 30, "mean": 0.0, "sd": 0.0}, "supervised"),  # labels go before everything
        ({"mean": 0.01, "skewness": 7.0}, "best_of_n"),
        ({"ranks_only": True, "skewness": 3.0}, "dpo"),
        ({"skewness": 1.2, "dense": 1.0}, "entropic"),
        ({"dense": 0.5}, "ppo"),
        ({}, "grpo"),
        ({"group": 3.9}, "reinforce"),
    ],
)
def test_the_first_row_that_holds_is_chosen(changes: dict[str, float], algorithm: str) -> None:
    chosen = choose(replace(GRADED, **changes))  # type: ignore[arg-type]
    assert isinstance(chosen, Choice)
    assert chosen.algorithm == algorithm


def test_rewards_that_are_all_alike_or_none_at_all_teach_nothing() -> None:
    assert "nothing distinguishes good from bad" in str(choose(replace(GRADED, sd=0.0)))
    assert "nothing to learn from" in str(choose(replace(GRADED, replies=0)))


def from_parent(made: AttemptState, node: str) -> AttemptState:
    parent = Parent(content="c", reply="r", score=0.5, node=node)
    return made.model_copy(update={"plan": made.plan.model_copy(update={"parent": parent})})


def test_a_group_started_from_one_instance_and_one_parent() -> None:
    plain = [attempt("i", 0.1), attempt("i", 0.2), attempt("j", 0.3)]
    assert group_size(plain) == 1.5
    assert group_size([*plain, from_parent(attempt("i", 0.4), "p")]) == pytest.approx(4 / 3)
    assert group_size([]) == 0.0


def test_attempts_are_dense_where_more_than_one_turn_was_scored() -> None:
    once = attempt("i", 0.1)
    twice = once.model_copy(update={"turns": (*once.turns, *once.turns)})
    assert density([once, once]) == 0.0
    assert density([once, twice]) == 0.5
    several_at_once = Turn(action={"try": []}, results=once.turns[1].results * 3)
    assert density([once.model_copy(update={"turns": (several_at_once,)})]) == 0.0


def test_an_update_records_what_its_choice_rests_on_also_where_the_config_pins_it() -> None:
    found = diagnose([shard([attempt("i", 0.2), attempt("i", 0.6, seed=1)])], ScoreSection())
    for pinned in ("auto", "grpo"):
        update = propose_update(found, ["s"], TrainingSection(algorithm=pinned), 7)
        assert isinstance(update, WeightUpdate)
        assert update.algorithm == ("reinforce" if pinned == "auto" else "grpo")
        assert update.evidence == evidence_of(found, None, False).recorded()
        assert (update.evidence["mean"], update.evidence["group"]) == (pytest.approx(0.4), 2.0)


def test_an_update_from_right_answers_names_them() -> None:
    found = diagnose([shard([attempt("i", 0.2)])], ScoreSection())
    ready = DemonstrationsReady(run_id="r", demonstrations="d" * 64, count=12, reason="3 have no answer")
    update = propose_update(found, ["s"], TrainingSection(), 7, Learning(algorithm="entropic"), ready)
    assert isinstance(update, WeightUpdate)
    assert (update.algorithm, update.demonstrations) == ("supervised", "d" * 64)
    assert "12 of them" in update.reason
    assert "3 have no answer" in update.reason

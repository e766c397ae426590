"""The diagnosis of train rollouts."""

import pytest

from feedback_service.propose.diagnosis import diagnose, reward_shape
from shared.tasks.task import ScoreSection
from tests.unit.feedback.attempts import attempt, shard

BOUNDS = ScoreSection(low=0.0, high=1.0)


def test_failures_are_counted_by_kind_with_an_example() -> None:
    states = [
        shard(
            [
                attempt("1", 0.0, outcome="compile_error", detail="line 3", reply="a"),
                attempt("2", 0.0, outcome="compile_error", detail="line 9", reply="b"),
                attempt("3", 0.0, outcome="timeout", reply="c"),
                attempt("4", 0.5, reply="d"),
                attempt("5", None, error="no action"),
            ]
        )
    ]
    found = diagnose(states, BOUNDS)
    kinds = [(failure.kind, failure.count, failure.example) for failure in found.failures]
    assert kinds == [("compile_error", 2, "line 3"), ("timeout", 1, ""), ("scaffold", 1, "no action")]
    assert found.failing == pytest.approx(4 / 5)


def test_a_failure_that_the_replys_ending_explains_has_that_name() -> None:
    cut = attempt("1", 0.0, outcome="wrong", reply="a", ending="length")
    thought = attempt("2", 0.0, outcome="refused", reply="", ending="reasoning")
    held = attempt("3", 0.0, outcome="refused", reply="", ending="content_filter")
    right = attempt("4", 1.0, reply="b", ending="length")
    found = diagnose([shard([cut, thought, held, right])], BOUNDS)
    assert [(one.kind, one.count) for one in found.failures] == [
        ("cut_off", 1),
        ("only_reasoning", 1),
        ("content_filter", 1),
    ]
    assert found.failures[1].example == "all tokens spent on reasoning"


def test_the_shape_of_the_rewards_by_hand() -> None:
    # 0, 0, 0, 1: mean 0.25, sd 0.433, skewness 1.1547
    shape = reward_shape([0.0, 0.0, 0.0, 1.0], BOUNDS)
    assert (shape.mean, shape.failing, shape.at_top) == (0.25, 0.75, 0.25)
    assert shape.sd == pytest.approx(0.4330, abs=1e-4)
    assert shape.skewness == pytest.approx(1.1547, abs=1e-4)


def test_scores_are_shares_of_the_task_s_range() -> None:
    assert reward_shape([-2.0, 6.0], ScoreSection(low=-2.0, high=6.0)).mean == 0.5


def test_no_scores_have_no_shape() -> None:
    assert reward_shape([], BOUNDS).n == 0


def test_the_best_replies_differ_and_come_best_first() -> None:
    scores = [("a", 0.2), ("b", 0.9), ("b", 0.8), ("c", 0.5), ("d", 0.1)]
    found = diagnose([shard([attempt(str(n), s, reply=r) for n, (r, s) in enumerate(scores)])], BOUNDS)
    assert [(best.reply, best.score) for best in found.best] == [("b", 0.9), ("c", 0.5), ("a", 0.2)]
    assert found.distinct == 0.8


def test_what_could_not_be_timed_is_no_reward() -> None:
    found = diagnose([shard([attempt("1", 0.0, outcome="not_timed")])], BOUNDS)
    assert found.scored == ()
    assert found.failures == ()

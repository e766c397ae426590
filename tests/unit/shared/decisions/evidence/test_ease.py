"""The ease of instances, by numbers worked out by hand."""

import pytest

from shared.decisions.evidence.ease import eases, eases_of
from shared.messages.records import AttemptPlan, AttemptState, Evaluation, Parent, Release

RELEASE = Release(base="b", harness="h")


def attempt(instance: int, score: float, parent: str | None = None) -> AttemptState:
    start = Parent(content=parent, reply="", score=0.0, node=parent) if parent else None
    plan = AttemptPlan(
        attempt_id="a", instance={"id": instance}, arm="live", release=RELEASE, seed=1, parent=start
    )
    return AttemptState(plan=plan, final=Evaluation(outcome="ok", score=score))


def score_of(attempt: AttemptState) -> list[float]:
    return [attempt.final.score] if attempt.final else []


def test_an_ease_is_the_shrunk_distance_of_a_groups_mean():
    # means .2 and .6, of all .4; within 4 x .1^2 / 2 = .02; between
    # 2 x (.2^2 + .2^2) = .16, less .02, by 2 = .07
    found = eases({"hard": [0.1, 0.3], "easy": [0.5, 0.7]})
    assert found == pytest.approx({"hard": -0.2 * 0.07 / 0.08, "easy": 0.2 * 0.07 / 0.08})


def test_groups_of_other_sizes_follow_the_same_formula():
    # mean .5; within (.02 + 0) / 1 = .02; between: 2 x .1^2 + 1 x .2^2 = .06, less .02, by 3 - 5/3 = .03
    found = eases({"two": [0.3, 0.5], "one": [0.7]})
    assert found == pytest.approx({"two": -0.1 * 0.03 / 0.04, "one": 0.2 * 0.03 / 0.05})


@pytest.mark.parametrize(
    "groups", [{}, {"a": [0.1, 0.9]}, {"a": [0.1], "b": [0.9]}, {"a": [0.4, 0.6], "b": [0.6, 0.4]}]
)
def test_where_nothing_tells_instances_apart_none_is_easy(groups):
    assert eases(groups) == dict.fromkeys(groups, 0.0)


def test_what_a_parent_is_worth_is_no_ease():
    attempts = [attempt(i, score) for i in (1, 2) for score in (0.2, 0.4)]
    attempts += [attempt(i, score, parent="p") for i in (3, 4) for score in (0.7, 0.9)]
    found = eases_of(attempts, score_of)
    assert found == {one.plan.group: 0.0 for one in attempts}

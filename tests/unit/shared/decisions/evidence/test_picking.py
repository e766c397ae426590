"""Which arm a screen picks."""

import pytest

from shared.decisions.arms import Paired, pair
from shared.decisions.evidence.picking import added_effect, pick
from shared.tasks.task import ScoreSection
from tests.unit.feedback.attempts import compared

BOUNDS = ScoreSection(low=0.0, high=1.0)
NAMES = ("base", "harness", "weights", "both")


def scores_of(**rows: list[float]) -> Paired:
    scores = {arm: {f"i{n}": score for n, score in enumerate(row)} for arm, row in rows.items()}
    count = len(next(iter(rows.values())))
    return pair([compared(scores)], list(rows), [{"id": f"i{n}"} for n in range(count)], BOUNDS)


def means_of(**means: float) -> Paired:
    return scores_of(**{arm: [mean] * 4 for arm, mean in means.items()})


def test_the_screen_picks_the_highest_mean() -> None:
    assert pick(means_of(base=0.3, harness=0.4, weights=0.6, both=0.5)) == "weights"


@pytest.mark.parametrize(
    ("means", "picked"),
    [
        ((0.5, 0.5, 0.5, 0.5), "base"),
        ((0.5, 0.6, 0.6, 0.6), "harness"),
        ((0.5, 0.4, 0.6, 0.6), "weights"),
        ((0.5, 0.4, 0.4, 0.4), "base"),
    ],
)
def test_ties_prefer_nothing_then_harness_then_weights(means: tuple[float, ...], picked: str) -> None:
    assert pick(means_of(**dict(zip(NAMES, means, strict=True)))) == picked


@pytest.mark.parametrize(
    ("both", "picked"),
    [
        ([0.7, 0.6, 0.6, 0.52], "harness"),  # +0.005 beside it, standard error 0.07; +0.0 alone
        ([0.7, 0.9, 0.7, 0.8], "both"),
    ],
)
def test_both_is_picked_only_where_what_it_adds_to_the_better_part_shows(
    both: list[float], picked: str
) -> None:
    parts = {"base": [0.2, 0.4, 0.3, 0.3], "harness": [0.5, 0.7, 0.6, 0.6], "weights": [0.2, 0.5, 0.3, 0.2]}
    assert pick(scores_of(**parts, both=both)) == picked


def test_what_a_lever_shows_alone_counts_for_what_it_adds_beside_the_other() -> None:
    harness, beside = 0.6, [0.3, -0.15, 0.3, -0.15]  # weights beside the harness: +0.075, standard error 0.13
    arms = {"base": [0.3] * 4, "harness": [harness] * 4, "both": [harness + gain for gain in beside]}
    assert pick(scores_of(**arms, weights=[0.42, 0.38, 0.4, 0.4])) == "both"  # together +0.087, error 0.07
    assert pick(scores_of(**arms, weights=[0.3, 0.3, 0.3, 0.3])) == "harness"  # together +0.037, error 0.07


def test_of_two_levers_that_mend_the_same_only_one_is_picked() -> None:
    arms = {
        "base": [0.3] * 4,
        "harness": [0.6] * 4,
        "weights": [0.58] * 4,
        "both": [0.62, 0.59, 0.62, 0.59],  # +0.005 beside the harness, where alone it brings +0.28
    }
    assert pick(scores_of(**arms)) == "harness"


def test_an_added_effect_is_the_mean_of_both_looks_at_it_unless_they_differ_by_two_standard_errors() -> None:
    assert list(added_effect([0.2, 0.0, 0.4], [0.1, 0.1, 0.1])) == pytest.approx([0.15, 0.05, 0.25])
    assert list(added_effect([0.02, 0.01, 0.03], [0.3, 0.3, 0.31])) == [0.02, 0.01, 0.03]

"""Generations and shares of alpha of a run whose limit was raised, by hand."""

import math

import pytest

from shared.decisions.evidence.betting import generation_alpha
from shared.decisions.stretches import Stretch, claimed, stretch_of

RAISED = [(3, 5), (5, 9)]  # from 3 generations to 5, then to 9


def test_a_run_that_was_never_raised_has_one_stretch() -> None:
    assert [stretch_of(number, 3, []) for number in (1, 3)] == [Stretch(0, 3, 1.0)] * 2


def test_each_raise_halves_the_share_and_the_earlier_generations_keep_theirs() -> None:
    found = [stretch_of(number, 9, RAISED) for number in (1, 3, 4, 5, 6, 9)]
    first, second, third = Stretch(0, 3, 1.0), Stretch(3, 5, 0.5), Stretch(5, 9, 0.25)
    assert found == [first, first, second, second, third, third]


def test_a_generation_beyond_the_limit_counts_to_the_last_stretch() -> None:
    assert stretch_of(12, 9, RAISED) == Stretch(5, 9, 0.25)
    assert stretch_of(4, 3, []) == Stretch(0, 3, 1.0)


def test_the_alphas_of_all_generations_sum_to_what_is_claimed() -> None:
    spent = 0.0
    for number in range(1, 10):
        mine = stretch_of(number, 9, RAISED)
        spent += generation_alpha(0.05 * mine.share, number - mine.start, mine.end - mine.start, 0)
    assert spent == pytest.approx(claimed(0.05, RAISED))
    assert claimed(0.05, RAISED) == pytest.approx(0.0875)  # .05 * (1 + 1/2 + 1/4)


def test_however_often_it_is_raised_less_than_twice_alpha_is_claimed() -> None:
    often = [(number, number + 1) for number in range(1, 40)]
    assert claimed(0.05, []) == 0.05
    assert claimed(0.05, often) < 0.1
    assert math.isclose(claimed(0.05, often), 0.1)

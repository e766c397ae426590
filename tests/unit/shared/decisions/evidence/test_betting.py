"""The e-process, against numbers worked out by hand and against its guarantee."""

import math
import random

import pytest

from shared.decisions.evidence.betting import STAKES, e_value, generation_alpha, log_wealth


def test_wealth_is_the_mean_of_the_three_gamblers_products() -> None:
    # bound 1, no minimum effect: 1 + l d a pair; stakes 0.99, 0.5, 0.15 with 0.8, 0.1, 0.1 of the purse
    products = [(1 + stake * 0.5) * (1 - stake * 0.2) for stake in (0.99, 0.5, 0.15)]
    by_hand = 0.8 * products[0] + 0.1 * products[1] + 0.1 * products[2]
    assert e_value([0.5, -0.2], bound=1.0, min_effect=0.0) == pytest.approx(by_hand)


def test_the_minimum_effect_itself_wins_nothing() -> None:
    assert e_value([0.01] * 50, bound=1.0, min_effect=0.01) == pytest.approx(1.0)


def test_no_pairs_are_no_evidence() -> None:
    assert e_value([], bound=1.0, min_effect=0.0) == pytest.approx(1.0)


def test_the_score_s_unit_does_not_matter() -> None:
    small = log_wealth([0.2, 0.1, -0.3], bound=1.0, min_effect=0.05)
    large = log_wealth([20.0, 10.0, -30.0], bound=100.0, min_effect=5.0)
    assert small == pytest.approx(large)


def test_the_order_of_the_pairs_does_not_matter() -> None:
    values = [0.3, -0.2, 0.9, 0.0, -0.7]
    assert e_value(values, 1.0, 0.01) == pytest.approx(e_value(values[::-1], 1.0, 0.01))


def test_the_worst_loss_leaves_some_wealth() -> None:
    assert e_value([-1.0], bound=1.0, min_effect=0.01) > 0


@pytest.mark.parametrize("wrong", [1.1, -1.1, math.nan])
def test_a_difference_outside_its_bounds_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        e_value([wrong], bound=1.0, min_effect=0.0)


def test_the_purse_is_shared_out_whole_and_no_stake_risks_all() -> None:
    assert sum(part for _, part in STAKES) == pytest.approx(1.0)
    assert all(0 < stake < 1 for stake, _ in STAKES)


def test_peeking_after_every_pair_keeps_alpha() -> None:
    """The hardest null: mean exactly zero, often a little better, now and then much worse."""
    rng, alarms, runs = random.Random(1), 0, 400
    for _ in range(runs):
        values = [0.2 if rng.random() < 0.8 else -0.8 for _ in range(30)]
        alarms += any(e_value(values[:n], 1.0, 0.0) >= 10 for n in range(2, 31))
    assert alarms / runs <= 0.1 + 3 * math.sqrt(0.1 * 0.9 / runs)


def test_alpha_falls_with_the_tests_and_rises_with_the_promotions() -> None:
    # three generations: gamma = (1, 1/2, 1/3) / (11/6)
    assert generation_alpha(0.05, 1, 3, 0) == pytest.approx(0.05 * 6 / 11)
    assert generation_alpha(0.05, 2, 3, 0) == pytest.approx(0.05 * 3 / 11)
    assert generation_alpha(0.05, 2, 3, 1) == pytest.approx(0.05 * 6 / 11)


def test_all_alphas_together_are_alpha_when_nothing_is_promoted() -> None:
    assert sum(generation_alpha(0.05, t, 40, 0) for t in range(1, 41)) == pytest.approx(0.05)


def test_no_generation_gets_more_than_alpha() -> None:
    assert generation_alpha(0.05, 1, 1, 5) == 0.05
    assert generation_alpha(0.05, 2, 1, 5) == 0.0  # a test that the config did not foresee

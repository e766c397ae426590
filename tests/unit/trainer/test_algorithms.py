"""The trainer's algorithms against numbers that were worked out by hand."""

import math

import pytest

from shared.errors import TrainingError
from trainer_service.algorithms import ALGORITHMS, best_of_n, entropic, find
from trainer_service.algorithms.grouping import centre


def test_rewards_are_centred_within_their_group_and_lone_samples_among_themselves():
    assert centre([1.0, 3.0, 10.0, 20.0], ["a", "a", "x", "y"]) == [-1.0, 1.0, -5.0, 5.0]


def test_best_of_n_keeps_the_quarter_that_is_furthest_above_its_own_group():
    # "easy" earns more throughout; what counts is the distance to the group's mean (10 and 1).
    rewards = [10.0, 10.5, 9.5, 10.0, 0.0, 3.0, 1.0, 0.0]
    groups = ["easy"] * 4 + ["hard"] * 4

    assert best_of_n.weigh(rewards, groups) == [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]


def test_best_of_n_never_clones_where_all_earned_the_same():
    assert best_of_n.weigh([7.0, 7.0, 0.0, 0.0], ["a", "a", "b", "b"]) == [0.0] * 4


def test_adaptive_beta_moves_the_weights_ln_2_away_from_uniform():
    rewards = [0.1, 0.9, 0.4, 0.35, 2.0, 0.0]
    beta = entropic.adaptive_beta(rewards)

    powers = [math.exp(beta * r) for r in rewards]
    q = [power / sum(powers) for power in powers]
    assert sum(share * math.log(len(q) * share) for share in q) == pytest.approx(math.log(2), abs=1e-9)


def test_adaptive_beta_of_two_levels_is_the_one_found_by_hand():
    # 2 of 8 earn 1, the others 0. With x = e^beta those two share p = x / (x + 3) of the weight, and
    # KL = p ln(4p) + (1 - p) ln(4(1 - p) / 3) is ln 2 at p = 0.8107, so x = 12.849.
    beta = entropic.adaptive_beta([1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])

    assert math.exp(beta) == pytest.approx(12.849, abs=1e-3)


def test_leave_one_out_advantages_of_three_samples_worked_by_hand():
    # With beta = ln 2 and rewards 2, 1, 0 the powers are 1, 1/2, 1/4. Each is divided by the others' mean:
    # 1 / (3/8) - 1 = 5/3;  (1/2) / (5/8) - 1 = -1/5;  (1/4) / (3/4) - 1 = -2/3.
    assert entropic.leave_one_out([2.0, 1.0, 0.0], math.log(2)) == pytest.approx([5 / 3, -1 / 5, -2 / 3])


def test_entropic_advantages_do_not_change_with_the_rewards_unit_or_zero():
    rewards = [0.3, 1.7, 0.2, 0.9, 0.5, 0.6, 3.0, 0.1]
    scaled = [40.0 * reward - 17.0 for reward in rewards]

    assert entropic.weigh(scaled, ["a"] * 8) == pytest.approx(entropic.weigh(rewards, ["a"] * 8), rel=1e-6)


def test_entropic_weighs_a_big_group_alone_and_gives_a_constant_one_nothing():
    varied = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    weights = entropic.weigh([*varied, *[3.0] * 8], ["a"] * 8 + ["b"] * 8)

    assert weights[:8] == entropic.advantages(varied)
    assert weights[8:] == [0.0] * 8


def test_entropic_pools_small_groups_after_centring_them():
    # Instance b earns ten times as much; without centring its samples alone would hold all the weight.
    weights = entropic.weigh([0.0, 1.0, 10.0, 11.0, 20.0, 21.0], ["a", "a", "b", "b", "c", "c"])

    assert weights == pytest.approx(entropic.advantages([-0.5, 0.5] * 3))
    assert all(weight > 0 for weight in weights[1::2])
    assert all(weight < 0 for weight in weights[0::2])


@pytest.mark.parametrize("count", [2, 3, 4])
def test_entropic_advantages_of_very_few_samples_stay_bounded(count):
    assert max(entropic.advantages([1.0] + [0.0] * (count - 1))) < 50


def test_an_unknown_algorithm_is_refused_with_the_known_ones():
    with pytest.raises(TrainingError, match="best_of_n, entropic"):
        find("magic")
    assert set(ALGORITHMS) == {"best_of_n", "entropic"}

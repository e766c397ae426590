"""The trainer's algorithms against numbers that were worked out by hand."""

import math

import pytest

from shared.errors import TrainingError
from trainer_service.algorithms import ALGORITHMS, best_of_n, dpo, entropic, find, grpo, ppo, reinforce
from trainer_service.algorithms.algorithm import Graded
from trainer_service.algorithms.grouping import centre


def test_rewards_are_centred_within_their_group_and_lone_samples_among_themselves():
    assert centre(Graded([1.0, 3.0, 10.0, 20.0], ["a", "a", "x", "y"])) == [-1.0, 1.0, -5.0, 5.0]


def test_best_of_n_keeps_the_quarter_that_is_furthest_above_its_own_group():
    # "easy" earns more throughout; what counts is the distance to the group's mean (10 and 1).
    rewards = [10.0, 10.5, 9.5, 10.0, 0.0, 3.0, 1.0, 0.0]
    groups = ["easy"] * 4 + ["hard"] * 4

    assert best_of_n.weigh(Graded(rewards, groups)) == [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]


def test_best_of_n_never_clones_where_all_earned_the_same():
    assert best_of_n.weigh(Graded([7.0, 7.0, 0.0, 0.0], ["a", "a", "b", "b"])) == [0.0] * 4


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

    assert entropic.weigh(Graded(scaled, ["a"] * 8)) == pytest.approx(
        entropic.weigh(Graded(rewards, ["a"] * 8)), rel=1e-6
    )


def test_entropic_weighs_a_big_group_alone_and_gives_a_constant_one_nothing():
    varied = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    weights = entropic.weigh(Graded([*varied, *[3.0] * 8], ["a"] * 8 + ["b"] * 8))

    assert weights[:8] == entropic.advantages(varied)
    assert weights[8:] == [0.0] * 8


def test_entropic_pools_small_groups_after_centring_them():
    # Instance b earns ten times as much; without centring its samples alone would hold all the weight.
    weights = entropic.weigh(Graded([0.0, 1.0, 10.0, 11.0, 20.0, 21.0], ["a", "a", "b", "b", "c", "c"]))

    assert weights == pytest.approx(entropic.advantages([-0.5, 0.5] * 3))
    assert all(weight > 0 for weight in weights[1::2])
    assert all(weight < 0 for weight in weights[0::2])


@pytest.mark.parametrize("count", [2, 3, 4])
def test_entropic_advantages_of_very_few_samples_stay_bounded(count):
    assert max(entropic.advantages([1.0] + [0.0] * (count - 1))) < 50


def test_a_lone_sample_is_measured_against_its_parent_so_that_a_copy_earns_nothing():
    graded = Graded([0.9, 0.5, 0.2, 0.4], ["p", "q", "x", "y"], [0.9, 0.3, None, None])

    assert centre(graded) == pytest.approx([0.0, 0.2, -0.1, 0.1])


def test_grpo_does_not_divide_by_the_spread():
    # Two groups with the same order; the second hardly differs, and must count a hundredth of the first.
    graded = Graded([0.0, 1.0, 0.50, 0.51], ["a", "a", "b", "b"])

    assert grpo.weigh(graded) == pytest.approx([-0.5, 0.5, -0.005, 0.005])


def test_reinforce_compares_each_sample_with_the_mean_of_the_others():
    # 3 against (1 + 2) / 2, and so on.
    assert reinforce.weigh(Graded([3.0, 1.0, 2.0], ["a"] * 3)) == pytest.approx([1.5, -1.5, 0.0])


def test_ppo_keeps_what_earned_the_mean_but_learns_nothing_from_equal_rewards():
    assert ppo.teach(Graded([1.0, 0.0, 0.5], ["a"] * 3)) == [(0, 0.5), (1, -0.5), (2, 0.0)]
    assert ppo.teach(Graded([0.1] * 3, ["a"] * 3)) == []


def test_dpo_pairs_best_with_worst_within_a_group_and_leaves_ties_and_lone_samples_out():
    graded = Graded([0.3, 0.9, 0.1, 0.5, 0.7, 7.0, 8.0], ["a"] * 5 + ["x", "y"])

    assert dpo.pairs(graded) == [(1, 2), (4, 0)]  # 0.9 over 0.1, 0.7 over 0.3; 0.5 is alone in the middle
    assert dpo.pairs(Graded([1.0, 1.0, 0.0], ["a"] * 3)) == [(0, 2)]
    assert dpo.teach(graded) == [(1, 1.0), (2, -1.0), (4, 1.0), (0, -1.0)]


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"supervised"}))
@pytest.mark.parametrize("rewards", [[], [0.1], [0.1] * 3, [0.1 + 0.2, 0.3]])
def test_no_reward_one_reward_and_equal_rewards_teach_nothing(name, rewards):
    assert find(name).teach(Graded(rewards, ["a"] * len(rewards))) == []


def test_an_unknown_algorithm_is_refused_with_the_known_ones():
    with pytest.raises(TrainingError, match="best_of_n, dpo, entropic, grpo, ppo, reinforce, supervised"):
        find("magic")

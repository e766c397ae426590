"""The rules of timing, with times made up by hand."""

import math

import numpy as np
import pytest

from sandbox_service.timed import timing


def test_the_speedup_is_the_median_of_ratios_within_rounds():
    # The machine slows down to a third in round 2; both programs of that round suffer alike.
    timed = timing.summarize([0.010, 0.030, 0.012], [0.005, 0.015, 0.004])
    assert timed.speedup == pytest.approx(2.0)  # ratios 2, 2, 3
    assert timed.candidate_ms == pytest.approx(5.0)
    assert timed.baseline_ms == pytest.approx(12.0)
    assert timed.noise == pytest.approx((math.log(3) - math.log(2)) / 2)


def test_one_round_has_no_noise():
    assert timing.summarize([0.2], [0.1]).noise == 0.0


@pytest.mark.parametrize(("rounds", "place"), [(1, 0), (5, 0), (6, 0), (9, 1), (15, 3), (100, 39)])
def test_the_interval_leaves_out_as_many_rounds_on_either_side_as_the_sign_test_allows(rounds, place):
    ratios = [float(number) for number in range(1, rounds + 1)]
    assert timing.interval(ratios) == (ratios[place], ratios[rounds - 1 - place])


def test_a_program_differs_when_nearly_all_rounds_say_so_by_more_than_the_minimum_effect():
    def differs(*ratios: float) -> bool:
        return timing.summarize(ratios, [1.0] * len(ratios)).differs

    assert differs(*[1.02] * 12, *[0.5] * 3)
    assert differs(*[0.98] * 15)
    assert not differs(*[1.02] * 11, *[0.5] * 4)
    assert not differs(*[1.009] * 15)
    assert not differs(*[2.0] * 5)  # too few to say


def test_equal_programs_are_seldom_called_different_though_the_machine_is_busy():
    rng = np.random.default_rng(1)
    called = 0
    for _ in range(2000):
        own, base = np.exp(rng.standard_t(2, (2, 15)) * 0.05)  # a long tail
        called += timing.summarize(base.tolist(), own.tolist()).differs
    assert called <= 40


def test_programs_run_in_a_random_order_and_then_in_its_mirror():
    first, second, third, fourth, fifth = timing.orders(6, 5, np.random.default_rng(1))
    assert second == first[::-1]
    assert fourth == third[::-1]
    assert first != third
    assert sorted(fifth) == list(range(6))


def test_short_baselines_get_more_rounds_and_final_checks_more_than_public_ones():
    assert [timing.rounds_for("public", base_s) for base_s in (0.001, 0.05, 0.1, 0.3)] == [7, 4, 3, 2]
    assert [timing.rounds_for("final", base_s) for base_s in (0.001, 0.05, 0.1, 0.3)] == [9, 8, 5, 3]


def test_patience_follows_the_baseline_and_never_exceeds_the_task_s_limit():
    assert timing.deadline_s(20.0, 0.05) == pytest.approx(1.5)
    assert timing.deadline_s(20.0, 5.0) == 20.0

"""The rules of timing, with times made up by hand."""

import math

import numpy as np
import pytest

from sandbox_service import timing


def test_the_speedup_is_the_median_of_ratios_within_rounds():
    # The machine slows down to a third in round 2; both programs of that round suffer alike.
    timed = timing.summarize([0.010, 0.030, 0.012], [0.005, 0.015, 0.004])
    assert timed.speedup == pytest.approx(2.0)  # ratios 2, 2, 3
    assert timed.candidate_ms == pytest.approx(5.0)
    assert timed.baseline_ms == pytest.approx(12.0)
    assert timed.noise == pytest.approx((math.log(3) - math.log(2)) / 2)


def test_one_round_has_no_noise():
    assert timing.summarize([0.2], [0.1]).noise == 0.0


def test_programs_run_in_a_random_order_and_then_in_its_mirror():
    first, second, third, fourth, fifth = timing.orders(6, 5, np.random.default_rng(1))
    assert second == first[::-1]
    assert fourth == third[::-1]
    assert first != third
    assert sorted(fifth) == list(range(6))


def test_short_baselines_get_more_rounds_and_final_checks_more_than_public_ones():
    assert [timing.rounds_for("public", base_s) for base_s in (0.001, 0.05, 0.3, 2.0)] == [9, 6, 3, 2]
    assert [timing.rounds_for("final", base_s) for base_s in (0.001, 0.05, 0.3, 2.0)] == [15, 12, 5, 3]


def test_patience_follows_the_baseline_and_never_exceeds_the_task_s_limit():
    assert timing.deadline_s(20.0, 0.05) == pytest.approx(1.5)
    assert timing.deadline_s(20.0, 5.0) == 20.0

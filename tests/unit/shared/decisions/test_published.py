"""The statistics against published tables and examples, and against what must hold for every e-value: its
mean over all that may happen where nothing is gained is 1."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate, stats

from ratchet.compare.results import holm, t_test
from shared.decisions.evidence.betting import e_value
from shared.decisions.evidence.discordant import last_line, walk
from shared.decisions.evidence.t_evidence import EFFECTS, log_mixture, log_t_evidence
from shared.decisions.intervals import t_interval

# Hours of sleep gained by the second drug over the first (Student, Biometrika 1908; R's data set `sleep`).
SLEEP = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4]


def test_students_example_has_the_interval_and_the_p_value_that_are_published_for_it() -> None:
    # R: t.test(extra ~ group, sleep, paired = TRUE): mean 1.58, 95 % 0.7001 to 2.4599, p = 0.002833
    found = t_interval(SLEEP, -math.inf, math.inf)
    assert (found.mean, found.low, found.high) == pytest.approx((1.58, 0.7001, 2.4599), abs=5e-5)
    assert t_test(SLEEP) == pytest.approx(0.002833, abs=5e-7)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (29, 2.045), (120, 1.980)]
)
def test_an_intervals_half_width_is_that_of_students_table(freedom: int, quantile: float) -> None:
    values = [1.0, *[0.0] * (freedom - 1), -1.0]  # their standard error: sqrt(2 / (n - 1) / n)
    found = t_interval(values, -math.inf, math.inf)
    assert found.high == pytest.approx(quantile * math.sqrt(2 / freedom / (freedom + 1)), rel=3e-4)


@pytest.mark.parametrize(
    ("differing", "most_lost"), [(5, 0), (8, 1), (10, 1), (12, 2), (15, 3), (20, 5), (25, 7), (30, 10)]
)
def test_the_last_look_at_right_or_wrong_scores_is_the_table_of_the_sign_test(
    differing: int, most_lost: int
) -> None:
    # the table's critical values, one-sided 5 %: at most so many may be lost
    assert last_line(differing, 0.05) == differing - most_lost


def test_holms_correction_is_that_of_the_textbook_example() -> None:
    # p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") in R: 0.03 0.06 0.06 0.02
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_the_t_evidence_of_students_example_is_that_of_the_two_densities() -> None:
    t = 4.0621  # of the published test
    ratios = [stats.nct.pdf(t, 9, math.sqrt(10) * effect) / stats.t.pdf(t, 9) for effect in EFFECTS]
    assert math.exp(log_t_evidence(SLEEP, 0.0)[-1]) == pytest.approx(float(np.mean(ratios)), rel=1e-4)


@pytest.mark.parametrize("count", [2, 5, 20, 96])
def test_the_t_evidence_has_mean_one_under_students_t(count: int) -> None:
    t = np.linspace(-60.0, 60.0, 12_001)
    ratio = np.exp(log_mixture(np.full(t.shape, float(count)), t / np.sqrt(t * t + count - 1)))
    inside = integrate.trapezoid(ratio * stats.t.pdf(t, count - 1), t)
    beyond = 2 * stats.t.sf(60.0, count - 1) * ratio.max()
    assert 1.0 - beyond - 1e-6 <= inside <= 1.0 + 1e-6


@pytest.mark.parametrize("least", [0.0, 0.01, -0.05])
@pytest.mark.parametrize(("gain", "loss"), [(0.5, 0.5), (0.1, 0.9), (1.0, 0.2)])
def test_the_bets_have_mean_one_over_all_paths_of_a_law_without_a_gain(
    least: float, gain: float, loss: float
) -> None:
    rate = (least + loss) / (gain + loss)  # of gains, so that the mean is `least`
    total = 0.0
    for path in itertools.product((gain, -loss), repeat=7):
        wins = path.count(gain)
        total += rate**wins * (1 - rate) ** (7 - wins) * e_value(path, 1.0, least)
    assert total == pytest.approx(1.0)


def test_of_all_paths_of_even_pairs_a_share_of_alpha_at_most_ever_passes() -> None:
    paths = np.array(list(itertools.product((1, -1), repeat=12)))  # each of the 4096 is equally likely
    passed = walk(paths, 0.05, 12)[1][:, -1].mean()
    # of 12 pairs 10 have to be won at the end: 79 paths of 4096; a first look takes nothing off that
    assert 79 / 4096 <= passed <= 0.05

"""The two parts of the graded test: t evidence against scipy's densities and numbers by hand, and the line
for losses that have not shown, against its guarantee."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.gate.worlds import normal, rare_losses
from shared.decisions.evidence.graded import (
    FEWEST,
    LAST,
    LEAST,
    loss_line,
    passed,
    passed_in,
    passes,
    spread_factor,
)
from shared.decisions.evidence.t_evidence import EFFECTS, log_likelihood_ratio, log_t_evidence

ALPHA = 0.0273


@pytest.mark.parametrize(
    ("count", "t", "effect"), [(5, 1.3, 0.5), (20, -1.0, 0.3), (48, 12.0, 1.2), (300, 5.0, 0.3)]
)
def test_the_likelihood_ratio_is_noncentral_over_central_t(count: int, t: float, effect: float) -> None:
    share = t / math.sqrt(t * t + count - 1)
    ours = log_likelihood_ratio(np.array([float(count)]), np.array([share]), effect)[0]
    theirs = stats.nct.logpdf(t, count - 1, math.sqrt(count) * effect) - stats.t.logpdf(t, count - 1)
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_one_difference_tells_its_sign_alone() -> None:
    # P(sign > 0) is Phi(effect) against 1/2: Phi(0.4), Phi(0.7), Phi(1.2) = 0.65542, 0.75804, 0.88493
    by_hand = 2 * (0.65542 + 0.75804 + 0.88493) / 3
    assert len(EFFECTS) == 3
    assert math.exp(log_t_evidence([0.2], 0.0)[0]) == pytest.approx(by_hand, rel=3e-3)


def test_the_unit_of_the_score_does_not_matter_to_the_t_evidence() -> None:
    values = np.array([0.3, -0.1, 0.2, 0.25])
    assert log_t_evidence(values, 0.05) == pytest.approx(log_t_evidence(values * 100, 5.0))


def test_the_spread_factor_is_one_without_spread_and_falls_with_it() -> None:
    # omega = 0.7: exp(-0.245) max_y exp(-0.7 y) Phi(y), near y = 0.3: 0.8106 * 0.6179 = 0.5009 -> 0.3920
    found = spread_factor(np.array([0.0, 0.7, 2.0]))
    assert found[0] == pytest.approx(1.0)
    assert found[1] == pytest.approx(0.783 * 0.5035, abs=0.003)
    assert found[2] < found[1]


def test_whatever_the_differences_the_line_is_never_below_its_floor() -> None:
    wild = np.array([[0.9, -0.8] * 24])
    assert np.exp(loss_line(wild, ALPHA, 48))[0, -1] == pytest.approx(LAST * LEAST / ALPHA)


def test_no_gain_is_promoted_before_its_spread_is_known() -> None:
    evidence, wealth, line = passes([0.9] * FEWEST, 0.4, 0.0, 1.0, 48)
    assert not passed(evidence, wealth, line, 0.4)[: FEWEST - 1].any()


def test_what_has_passed_is_not_taken_back_by_pairs_that_need_not_have_been_bought() -> None:
    evidence, wealth, line = passes([*[0.3, 0.25, 0.35] * 8, *[-0.9] * 6], ALPHA, 0.01, 1.0, 48)
    assert passed(evidence, wealth, line, ALPHA)[-1]


def test_the_table_for_many_runs_decides_as_the_exact_evidence_does() -> None:
    runs = normal(0.08, 0.1)(np.random.default_rng(3), 60, 48)
    exact = [passed(*passes(row, ALPHA, 0.01, 1.0, 48), ALPHA) for row in runs]
    assert np.array_equal(passed_in(runs, ALPHA, 0.01), np.array(exact))


@pytest.mark.parametrize(
    "law", [rare_losses(0.05, 0.94, 0.0), rare_losses(0.12, 0.94, 0.0), rare_losses(0.05, 0.94, 0.1)]
)
def test_rare_great_losses_behind_small_gains_keep_alpha_with_a_look_after_every_pair(law) -> None:  # type: ignore[no-untyped-def]
    runs = law(np.random.default_rng(0), 2000, 48)
    assert abs(law(np.random.default_rng(1), 2000, 48).mean()) < 0.005
    assert passed_in(runs, ALPHA, 0.01)[:, -1].mean() <= ALPHA + 3 * math.sqrt(ALPHA / 2000)


@pytest.mark.parametrize(("gain", "spread"), [(0.076, 0.1), (0.1, 0.15)])
def test_four_true_gains_of_five_are_found_within_48_pairs(gain: float, spread: float) -> None:
    runs = normal(gain, spread)(np.random.default_rng(0), 2000, 48)
    assert passed_in(runs, ALPHA, 0.01)[:, -1].mean() >= 0.8 - 3 * math.sqrt(0.16 / 2000)

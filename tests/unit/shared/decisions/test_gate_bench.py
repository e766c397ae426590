"""`ratchet bench gate`: its simulations run through the real gate, and say what clear cases must say."""

import numpy as np
import pytest

from benchmarks.gate.__main__ import beside_scipy, by_pair, ceiling
from benchmarks.gate.simulated import equal, naive_rules, run_scenario
from benchmarks.gate.worlds import NO_GAIN, normal, rare_losses
from shared.config.settings import GateSection
from shared.decisions.evidence.betting import e_value

GATE = GateSection()


@pytest.mark.parametrize("name", list(NO_GAIN))
def test_what_is_called_no_gain_has_none(name: str) -> None:
    assert abs(float(NO_GAIN[name](np.random.default_rng(0), 4000, 48).mean())) < 0.006


def test_no_better_is_hardly_ever_promoted_however_treacherous() -> None:
    row = run_scenario(20, 0, GATE, 6, equal(rare_losses(0.05, 0.94, 0.0)))
    assert row["false_share_of_promotions"] <= GATE.alpha


def test_a_gain_that_the_config_can_confirm_is_confirmed() -> None:
    row = run_scenario(15, 0, GATE, 2, equal(normal(0.3, 0.15), 0.3))
    assert row["promoted_per_generation"] > 0.9
    assert row["false_promotions"] == 0


def test_simpler_rules_promote_what_is_equal() -> None:
    assert naive_rules(30, 0, GATE, normal(0.0, 0.15), 6)["mean_is_higher"] > 0.8


def test_the_bets_of_many_runs_are_those_of_one() -> None:
    runs = normal(0.2, 0.2)(np.random.default_rng(0), 20, 24)
    one_by_one = [any(e_value(row[:n].tolist(), 1.0, 0.01) >= 20 for n in range(1, 25)) for row in runs]
    assert by_pair("betting", runs, 0.05, 0.01)[:, -1].tolist() == one_by_one


def test_the_evidence_is_that_of_scipy_s_densities() -> None:
    assert beside_scipy(1, 24)["largest_gap_in_log_e"] < 1e-4


def test_no_test_that_assumes_nothing_finds_the_demo_s_gain_four_times_in_five() -> None:
    # the nearest law loses all in 6.2 % of pairs, and 48 pairs show none in 4.6 %
    # of runs
    assert 0.55 < ceiling(0.076, 0.1, 48, 0.0273, 0.01) < 0.7

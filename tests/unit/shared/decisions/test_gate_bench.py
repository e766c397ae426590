"""`ratchet bench gate`: its simulations run through the real gate, and say what clear cases must say."""

import numpy as np

from benchmarks.gate import equal, naive_rules, normal, run_scenario, treacherous
from shared.config.settings import GateSection

GATE = GateSection()


def test_no_better_is_hardly_ever_promoted_however_treacherous() -> None:
    row = run_scenario(40, 0, GATE, 6, equal(treacherous))
    assert row["false_share_of_promotions"] <= GATE.alpha
    assert abs(float(treacherous(np.random.default_rng(0), 200_000).mean())) < 0.01


def test_a_gain_that_the_config_can_confirm_is_confirmed() -> None:
    row = run_scenario(15, 0, GATE, 2, equal(normal(0.3, 0.15), 0.3))
    assert row["promoted_per_generation"] > 0.9
    assert row["false_promotions"] == 0


def test_simpler_rules_promote_what_is_equal() -> None:
    assert naive_rules(30, 0, GATE, normal(0.0, 0.15), 6)["mean_is_higher"] > 0.8

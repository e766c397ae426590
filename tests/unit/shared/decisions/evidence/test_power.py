"""The power of a confirmation, computed beforehand: it agrees with what the tests then do."""

import math

import numpy as np
import pytest

from benchmarks.gate.worlds import answers
from ratchet.runs.request import resolve_config
from shared.decisions.evidence.claims import Terms
from shared.decisions.evidence.discordant import walk
from shared.decisions.evidence.power import (
    findable,
    foreseen,
    foreseen_text,
    pairs_needed,
    power,
    smallest_gain,
)
from shared.tasks.task import load_task

TERMS = Terms(alpha=0.0273, min_effect=0.01, bound=1.0, max_pairs=48)


def test_a_larger_spread_hides_larger_gains_and_no_gain_is_found_below_the_minimum_effect() -> None:
    gains = [found.gain for found in findable("graded", TERMS)]
    assert all(gain is not None for gain in gains)
    assert gains == sorted(gains)
    assert gains[0] > TERMS.min_effect


def test_the_gain_of_the_demo_is_just_what_48_pairs_find() -> None:
    assert smallest_gain("graded", 0.1, TERMS) == pytest.approx(0.076, abs=0.008)
    assert pairs_needed("graded", 0.076, 0.1, TERMS) == pytest.approx(48, abs=4)


def test_half_the_gain_needs_more_than_twice_the_pairs() -> None:
    few, many = (pairs_needed("graded", gain, 0.1, TERMS) for gain in (0.1, 0.05))
    assert many > 2 * few  # type: ignore[operator]


@pytest.mark.slow
def test_what_no_number_of_pairs_finds_is_said() -> None:
    assert pairs_needed("graded", 0.01, 0.1, TERMS) is None
    assert smallest_gain("graded", 0.1, Terms(0.001, 0.01, 1.0, 3)) is None


def test_it_is_in_units_of_the_score() -> None:
    hundred = Terms(0.0273, 1.0, 100.0, 48)
    assert smallest_gain("graded", 10.0, hundred) == pytest.approx(100 * smallest_gain("graded", 0.1, TERMS))  # type: ignore[operator]


def test_for_right_or_wrong_scores_it_agrees_with_the_test_itself() -> None:
    terms = Terms(0.0273, 0.0, 1.0, 48)
    drawn = answers(0.2)(np.random.default_rng(5), 1000, 48).astype(int)
    simulated = walk(drawn, terms.alpha, 48)[1][:, -1].mean()
    expected = power("right_or_wrong", 0.2, math.sqrt(0.3 - 0.2**2), terms)
    assert expected == pytest.approx(simulated, abs=0.06)


def test_a_run_is_told_beforehand_what_its_gate_can_find_and_what_that_assumes() -> None:
    config, task = resolve_config("trimul", None, ["gate.max_pairs=24"], None), load_task("trimul")
    foresight = foreseen(config, task)
    gains = [row["gain"] for row in foresight["found_four_times_in_five"]]
    assert gains == sorted(gains)
    assert foresight["half_the_gain"]["pairs"] > 24
    text = foreseen_text(foresight)
    assert "with 24 pairs" in text
    assert "assumes that ordinary differences lie evenly about their mean" in text

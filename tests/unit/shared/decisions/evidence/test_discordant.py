"""The test for right-or-wrong scores, against binomial numbers by hand, McNemar's test and its guarantee."""

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.gate.worlds import answers, heavy_tails
from shared.decisions.evidence.discordant import last_line, outcome, tally, walk

ALPHA = 0.0273


def test_at_the_last_look_the_line_is_mcnemar_s() -> None:
    # 8 pairs differ: P(at least 7 wins) = 9/256 = 0.035, P(at least 6) = 37/256
    won = tally([1, 1, 1, -1, 1, 1, 1, 1], 0.05, 0.0, 1.0, 8)
    assert (won.won, won.lost, won.line, won.passed) == (7, 1, 7, True)
    assert not tally([1, -1, 1, -1, 1, 1, 1, 1], 0.05, 0.0, 1.0, 8).passed
    assert last_line(8, 0.05) == 7


def test_pairs_that_do_not_differ_say_nothing() -> None:
    assert not tally([0.0] * 48, ALPHA, 0.0, 1.0, 48).passed
    assert tally([*[0.0] * 40, *[1.0] * 8], ALPHA, 0.0, 1.0, 48).passed  # 1/256 of the paths


def test_a_clear_lead_passes_long_before_the_last_look() -> None:
    assert tally([1.0] * 20, ALPHA, 0.0, 1.0, 48).passed


def test_a_fraction_is_won_as_often_as_it_is_large_and_the_minimum_effect_gains_nothing() -> None:
    drawn = [outcome(pair, 0.3, 0.0) for pair in range(4000)]
    assert set(drawn) == {0, 1}
    assert np.mean(drawn) == pytest.approx(0.3, abs=0.03)
    assert np.mean([outcome(pair, 0.1, 0.1) for pair in range(4000)]) == pytest.approx(0.0, abs=0.03)


def test_a_difference_outside_its_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="bound"):
        tally([1.5], ALPHA, 0.0, 1.0, 48)


def test_it_finds_what_mcnemar_finds_at_the_same_number_of_pairs() -> None:
    runs = answers(0.2)(np.random.default_rng(0), 1000, 48).astype(int)
    won, lost = (runs > 0).sum(1), (runs < 0).sum(1)
    mcnemar = stats.binom.sf(won - 1, won + lost, 0.5) <= ALPHA
    ours = walk(runs, ALPHA, 48)[1][:, -1]
    assert ours.sum() >= mcnemar.sum()


@pytest.mark.parametrize("law", [answers(0.0), answers(0.0, 0.9), heavy_tails])
def test_alpha_holds_with_a_look_after_every_pair(law) -> None:  # type: ignore[no-untyped-def]
    runs = law(np.random.default_rng(0), 2000, 48)
    drawn = np.array([[outcome(pair, share, 0.0) for pair, share in enumerate(row)] for row in runs])
    assert walk(drawn, 0.1, 48)[1][:, -1].mean() <= 0.1 + 3 * math.sqrt(0.1 / 2000)

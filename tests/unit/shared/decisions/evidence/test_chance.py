"""The forecast of a confirmation from its screen."""

import numpy as np
import pytest

from shared.decisions.evidence.chance import chance
from shared.decisions.evidence.claims import Terms
from shared.decisions.evidence.power import power

TERMS = Terms(0.025, 0.01, 1.0, 60)


def screen(mean: float, spread: float, count: int) -> list[float]:
    """Differences with just this mean and this standard deviation."""
    drawn = np.random.default_rng(1).standard_normal(count)
    return list(mean + spread * (drawn - drawn.mean()) / drawn.std(ddof=1))


@pytest.mark.parametrize("test", ["graded", "right_or_wrong"])
def test_of_a_long_screen_it_is_the_power_at_the_gain_that_was_seen(test: str) -> None:
    for mean in (0.03, 0.06, 0.1):
        found = chance(test, screen(mean, 0.1, 4000), TERMS)
        assert found == pytest.approx(power(test, mean, 0.1, TERMS), abs=0.06)


def test_a_short_screen_leaves_more_open_both_ways() -> None:
    low, high = (chance("graded", screen(mean, 0.1, 16), TERMS) for mean in (0.02, 0.12))
    assert power("graded", 0.02, 0.1, TERMS) < low < high < power("graded", 0.12, 0.1, TERMS)


def test_it_grows_with_the_gain_and_with_the_pairs() -> None:
    found = [chance("graded", screen(mean, 0.1, 16), TERMS) for mean in (0.0, 0.03, 0.06, 0.12, 0.4)]
    assert found == sorted(found)
    assert found[0] < 0.1
    assert found[-1] > 0.95
    assert chance("graded", screen(0.06, 0.1, 16), Terms(0.025, 0.01, 1.0, 240)) > found[2]


@pytest.mark.parametrize(("gain", "expected"), [(0.3, 1.0), (0.0, 0.0)])
def test_without_any_spread_it_is_sure(gain: float, expected: float) -> None:
    assert chance("graded", [gain] * 8, TERMS) == expected

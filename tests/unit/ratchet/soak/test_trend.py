"""A series is flat or it grows: noise and single peaks are flat; a leak is found within few samples."""

import random

import pytest

from ratchet.soak.trend import trend

TIMES_S = [30.0 * number for number in range(40)]


def noisy(seed: int, slope_per_s: float = 0.0) -> list[float]:
    chance = random.Random(seed)
    return [200 + slope_per_s * at + chance.gauss(0, 2) for at in TIMES_S]


def test_noise_is_flat() -> None:
    assert all(trend(TIMES_S, noisy(seed), floor=8).flat for seed in range(50))


def test_a_leak_is_found_in_noise_and_its_slope_is_told() -> None:
    found = [trend(TIMES_S, noisy(seed, slope_per_s=0.05), floor=8) for seed in range(50)]
    assert not any(one.flat for one in found)
    assert found[0].slope_per_h == pytest.approx(180, rel=0.1)


def test_what_grows_before_the_watch_begins_and_a_single_peak_are_no_leak() -> None:
    warming = [min(200.0, 150 + at) for at in TIMES_S]
    peak = [200.0] * 20 + [900.0] + [200.0] * 19
    assert trend(TIMES_S, warming, floor=8).flat
    assert trend(TIMES_S, peak, floor=8).flat


def test_a_saw_tooth_is_flat() -> None:
    """A worker's process is replaced after some jobs."""
    assert trend(TIMES_S, [200 + number % 7 * 10 for number in range(40)], floor=8).flat


def test_a_rise_below_the_floor_is_none() -> None:
    assert trend(TIMES_S, [0.1 * number for number in range(40)], floor=8).flat
    assert not trend(TIMES_S, [0.1 * number for number in range(40)], floor=1).flat


def test_too_few_samples_are_not_called_flat() -> None:
    assert not trend([0.0, 1.0, 2.0], [5.0, 5.0, 5.0], floor=8).flat

"""The check of a served adapter, on numbers made by hand."""

import random

import pytest

from agent_service.fingerprint import Expected, why_refused

TOKENS = 64
DRAW = random.Random(1)
BASE = [-DRAW.uniform(0.1, 6.0) for _ in range(TOKENS)]
CHANGE = [DRAW.gauss(0.0, 0.5) for _ in range(TOKENS)]
ADAPTER = [a + b for a, b in zip(BASE, CHANGE, strict=True)]
EXPECTED = Expected(ADAPTER, BASE)


def noisy(values: list[float], sd: float, seed: int) -> list[float]:
    draw = random.Random(seed)
    return [value + draw.gauss(0.0, sd) for value in values]


@pytest.mark.parametrize("sd", [0.0, 1e-5, 0.01, 0.1, 0.25])
def test_the_adapter_is_known_at_any_precision_of_the_endpoint(sd: float) -> None:
    assert why_refused(noisy(ADAPTER, sd, 1), noisy(BASE, sd, 2), EXPECTED, 1.0) == ""


@pytest.mark.parametrize("sd", [0.0, 0.1, 0.25])
def test_the_base_in_its_place_is_found_out_at_any_precision(sd: float) -> None:
    base = noisy(BASE, sd, 1)
    assert "ignores the adapter" in why_refused(
        base, base, EXPECTED, 1.0
    )  # the same answers under both names
    assert why_refused(noisy(BASE, sd, 2), noisy(BASE, sd, 3), EXPECTED, 1.0)


def test_another_adapter_is_found_out() -> None:
    other = [a + DRAW.gauss(0.0, 0.5) for a in BASE]
    for sd in (0.0, 0.1):
        assert why_refused(noisy(other, sd, 1), noisy(BASE, sd, 2), EXPECTED, 1.0)


def test_what_an_exact_endpoint_answers_otherwise_is_refused_though_it_is_near() -> None:
    off = [value + 0.01 for value in ADAPTER]
    assert "does not answer as it did" in why_refused(off, BASE, EXPECTED, 1.0)


def test_an_effect_below_the_noise_is_not_taken_for_seen() -> None:
    faint = Expected([a + 0.001 * c for a, c in zip(BASE, CHANGE, strict=True)], BASE)
    assert "not clearly nearer" in why_refused(noisy(BASE, 0.2, 1), noisy(BASE, 0.2, 2), faint, 1.0)


def test_another_base_model_is_named() -> None:
    other = [value - 3.0 for value in BASE]
    assert "base model is another" in why_refused(other, other, EXPECTED, 1.0)


def test_an_adapter_without_effect_must_answer_as_the_base() -> None:
    assert why_refused(BASE, BASE, Expected(BASE, BASE), 0.0) == ""
    assert why_refused(ADAPTER, BASE, Expected(BASE, BASE), 0.0)

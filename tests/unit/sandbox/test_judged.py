"""A score is a number of any kind within the bounds; all else is reported in full, and never repaired."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from sandbox_service.verify.judged import NotFiniteError, judged
from shared.errors import VerifierError
from shared.tasks.task import ScoreSection

BOUNDS = ScoreSection(low=-1.0, high=1.0)


@pytest.mark.parametrize(
    ("result", "score"),
    [
        (0.5, 0.5),
        (1, 1.0),
        (True, 1.0),
        (Fraction(1, 4), 0.25),
        (np.float32(0.5), 0.5),
        (np.int64(-1), -1.0),
        (np.bool_(False), 0.0),
        (np.array(0.25), 0.25),
        ({"score": np.float32(0.5), "metrics": {"mse": np.float64(2)}}, 0.5),
        ({"outcome": "wrong", "score": -1, "detail": "no"}, -1.0),
    ],
)
def test_every_kind_of_real_number_is_a_score(result: object, score: float):
    assert judged(result, BOUNDS).score == score


async def later() -> float:
    return 0.5


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (None, "score is None"),
        ("0.5", "score is of type str"),
        ((0.5, "good"), "score is of type tuple"),
        ([0.5], "score is of type list"),
        (Decimal("0.5"), "score is of type Decimal"),
        (1j, "score is of type complex"),
        (np.array([0.5]), "score is of type ndarray"),
        (1.001, "outside of -1..1"),
        (-7, "outside of -1..1"),
        ({}, "no score"),
        ({"outcome": "ok"}, "no score"),
        ({"score": None}, "score is None"),
        ({"score": 0.5, "outcome": "fine"}, "outcome 'fine' .known: ok"),
        ({"score": 0.5, "detail": None}, "detail is None"),
        ({"score": 0.5, "metrics": [1]}, "metrics is of type list"),
        ({"score": 0.5, "metrics": {"bleu": None}}, "metric 'bleu' is None"),
        ({"score": 0.5, "metrics": {"bleu": float("inf")}}, "metric 'bleu' is inf"),
        ({"score": 0.5, "extra": 1}, "unknown field 'extra'"),
    ],
)
def test_what_is_no_score_is_the_verifier_s_fault(result: object, why: str):
    with pytest.raises(VerifierError, match=why) as caught:
        judged(result, BOUNDS)
    assert not isinstance(caught.value, NotFiniteError)


def test_a_score_that_is_a_coroutine_says_so():
    with pytest.raises(VerifierError, match="must not be async"):
        judged(later(), BOUNDS)


@pytest.mark.parametrize(
    "result", [float("nan"), float("inf"), np.float32("nan"), 10**400, {"score": float("nan")}]
)
def test_a_score_that_is_not_finite_may_be_the_candidate_s_doing(result: object):
    with pytest.raises(NotFiniteError):
        judged(result, BOUNDS)


def test_all_faults_are_told_at_once():
    result = {"detail": None, "metrics": {"inf": float("inf")}, "extra": 1}
    with pytest.raises(VerifierError) as caught:
        judged(result, BOUNDS)
    assert all(name in str(caught.value) for name in ("no score", "extra", "detail", "'inf'"))

"""A verifier's result for a candidate as an Evaluation: a number, or an object with outcome, score, detail
and metrics. Anything else is the verifier's fault and raises VerifierError with all that is wrong: an answer
that is silently repaired would be an unintended score.
"""

from __future__ import annotations

import inspect
import math
import numbers
from typing import Any, get_args

import numpy as np

from shared.errors import VerifierError
from shared.messages.records import Evaluation, Outcome
from shared.tasks.task import ScoreSection

FIELDS = ("outcome", "score", "detail", "metrics")
OUTCOMES = get_args(Outcome)
ROUNDING = 1e-6  # of the range: what sums in float32 are off by
HINT = "a score is a number within [score] low and high, or an object as docs/tasks.md describes"


class NotFiniteError(VerifierError):
    """A score that is NaN or infinite: it may be the candidate's doing (an answer "nan" read as a number)."""


def judged(result: Any, bounds: ScoreSection) -> Evaluation:
    """`result` as an Evaluation. Raises VerifierError that names every fault; NotFiniteError where that is
    the only one."""
    fields = result if isinstance(result, dict) else {"score": result}
    faults = [] if "score" in fields else ["no score"]
    faults += [f"unknown field {name!r}" for name in fields if name not in FIELDS]
    outcome, detail = fields.get("outcome", "ok"), fields.get("detail", "")
    if outcome not in OUTCOMES:
        faults.append(f"outcome {outcome!r} (known: {', '.join(OUTCOMES)})")
    if not isinstance(detail, str):
        faults.append(f"detail is {_kind(detail)}, not text")
    metrics = fields.get("metrics", {})
    faults += _metric_faults(metrics)
    score = number(fields.get("score", 0.0))
    if score is None:
        faults.append(f"score is {_kind(fields['score'])}, not a number")
    elif math.isfinite(score):
        score = _within(score, bounds)
        if not bounds.low <= score <= bounds.high:
            outside = f"outside of {bounds.low:g}..{bounds.high:g}"
            faults.append(f"score {str(score).removesuffix('.0')} is {outside}")
    if faults or score is None:
        raise VerifierError(f"the verifier gave no valid score: {'; '.join(faults)}", HINT)
    if not math.isfinite(score):
        raise NotFiniteError(f"the verifier gave no valid score: it is {score}", HINT)
    found = {name: number(value) for name, value in metrics.items()}
    kept = {name: value for name, value in found.items() if value is not None}
    return Evaluation(outcome=outcome, score=score, detail=detail, metrics=kept)


def _within(score: float, bounds: ScoreSection) -> float:
    """Without the rounding error that put it beside a bound, of float32 at most."""
    nearest = min(max(score, bounds.low), bounds.high)
    return nearest if abs(score - nearest) <= ROUNDING * (bounds.high - bounds.low) else score


def _metric_faults(metrics: Any) -> list[str]:
    if not isinstance(metrics, dict):
        return [f"metrics is {_kind(metrics)}, not an object"]
    faults = []
    for name, value in metrics.items():
        found = number(value)
        if not isinstance(name, str):
            faults.append(f"metric {name!r} is not named by a text")
        elif found is None or not math.isfinite(found):
            faults.append(
                f"metric {name!r} is {_kind(value) if found is None else found}, not a finite number"
            )
    return faults


def number(value: Any) -> float | None:
    """A Python or numpy number (also an array of no axes) as a float; None for anything else."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, np.bool_):
        value = bool(value)
    if not isinstance(value, numbers.Real):
        return None
    try:
        return float(value)
    except OverflowError:  # an int beyond all floats
        return math.inf


def _kind(value: Any) -> str:
    if value is None:
        return "None (does a branch lack its return?)"
    if inspect.iscoroutine(value):
        value.close()
        return "a coroutine (score must not be async)"
    return f"of type {type(value).__name__}"

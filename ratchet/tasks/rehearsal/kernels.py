"""Rehearses toolchains "c" and "cuda": calls every function that a run calls, with the right outputs and with
wrong ones, and looks at the score over all speed-ups.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ratchet.tasks.rehearsal.calls import FAILED, Calls
from sandbox_service.verify.verifier import bounded
from shared.errors import VerifierError
from shared.messages.records import JsonObject
from shared.tasks.task import ScoreSection

SPEEDUPS = (1e-9, 1e-3, 0.1, 0.5, 0.9, 1.0, 1.1, 2.0, 10.0, 100.0, 1e3, 1e9)
BOTH = ("make_inputs", "output_shapes", "expected", "check", "baseline", "score")
ALSO = {"c": ("CALL", "FLAGS"), "cuda": ("small", "scratch", "launch", "floor_s")}
DEVICE = "NVIDIA H200"  # a name for floor_s; nothing is run on it


def rehearse(
    calls: Calls, verifier: Any, toolchain: str, instances: Sequence[JsonObject], bounds: ScoreSection
) -> None:
    for name in (*BOTH, *ALSO[toolchain]):
        if not hasattr(verifier, name):
            calls.fault(name, f"verifier.py has no {name}", "docs/tasks.md lists what it must define")
            return
    instance = dict(instances[0])
    if toolchain == "cuda":
        small = _cuda(calls, verifier, instance)
        if small is FAILED:
            small = {}
        instance = {**instance, **small}
    calls("baseline", "an instance", verifier.baseline, instance)
    _speedups(calls, verifier, instance, bounds)
    _checked(calls, verifier, instance)


def _cuda(calls: Calls, verifier: Any, instance: JsonObject) -> Any:
    calls("scratch", "an instance", verifier.scratch, instance)
    calls("floor_s", f"an instance, {DEVICE!r}", verifier.floor_s, instance, DEVICE)
    return calls("small", "an instance", verifier.small, instance)


def _speedups(calls: Calls, verifier: Any, instance: JsonObject, bounds: ScoreSection) -> None:
    scores = []
    for speedup in SPEEDUPS:
        returned = calls(
            "score", f"an instance, a speed-up of {speedup:g}", verifier.score, instance, speedup
        )
        if returned is FAILED:
            return
        try:
            scores.append(bounded(returned, bounds.low, bounds.high))
        except VerifierError as error:
            calls.fault("score", f"score(an instance, a speed-up of {speedup:g}): {error.message}")
            return
    if any(later < earlier for earlier, later in pairwise(scores)):
        calls.note("a larger speed-up scores less somewhere: a slower program can win")
    if len(set(scores)) == 1:
        calls.note(f"every speed-up scores {scores[0]:g}")


def _checked(calls: Calls, verifier: Any, instance: JsonObject) -> None:
    started_s = time.monotonic()
    first, again = (
        calls("make_inputs", "an instance, rng", verifier.make_inputs, instance, np.random.default_rng(seed))
        for seed in (1, 2)
    )
    shapes = calls("output_shapes", "an instance", verifier.output_shapes, instance)
    if FAILED in (first is FAILED and FAILED, again is FAILED and FAILED, shapes is FAILED and FAILED):
        for name in ("expected", "check"):
            _is_ported(calls, verifier, name, instance)
        return
    if all(np.array_equal(first[name], again[name]) for name in first):
        calls.note("make_inputs gives the same arrays whatever its rng: a program could hold their outputs")
    want = calls("expected", "an instance, its inputs", verifier.expected, instance, first)
    if want is FAILED:
        _is_ported(calls, verifier, "check", instance)
        return
    found = {name: np.shape(values) for name, values in want.items()}
    told = shapes.keys() - found.keys() if hasattr(verifier, "measures") else ()
    beside = {name: np.zeros(shapes[name]) for name in told}  # for people: nothing is expected of it
    if found != {name: tuple(shape) for name, shape in shapes.items() if name not in beside}:
        calls.fault("expected", f"expected gives {found}, but output_shapes gives {dict(shapes)}")
        return
    _answers(calls, verifier, instance, {**want, **beside})
    calls.took(started_s)


def _is_ported(calls: Calls, verifier: Any, name: str, instance: JsonObject) -> None:
    """Reports a function that only raises NotImplementedError, though there is nothing to call it with."""
    arguments = (instance, {}) if name == "expected" else (instance, {}, {})
    try:
        getattr(verifier, name)(*arguments)
    except NotImplementedError as error:
        calls.fault(name, f"{name} raised NotImplementedError: {error}")
    except (Exception, SystemExit):
        return  # it got no arguments to work on


def _answers(calls: Calls, verifier: Any, instance: JsonObject, want: dict[str, Any]) -> None:
    """The right outputs must pass, and wrong ones must not."""
    right = {name: np.asarray(values, np.float32) for name, values in want.items()}
    returned = calls("check", "the expected outputs themselves", verifier.check, instance, want, right)
    if returned is FAILED:
        return
    if not isinstance(returned, str) or returned:
        calls.fault("check", f"check refuses the expected outputs themselves: {returned!r}")
        return
    rng = np.random.default_rng(0)
    wrong = {
        "zeros": {name: np.zeros_like(values) for name, values in right.items()},
        "outputs 5 % too large": {name: values * np.float32(1.05) for name, values in right.items()},
        "outputs in another order": {
            name: rng.permutation(values.ravel()).reshape(values.shape) for name, values in right.items()
        },
        "the mean everywhere": {name: np.full_like(values, _mean(values)) for name, values in right.items()},
    }
    for name, got in wrong.items():
        if all(np.allclose(got[key], right[key]) for key in right):
            continue  # the outputs happen to be such
        returned = calls("check", name, verifier.check, instance, want, got)
        if returned == "":
            calls.note(f"{name} pass the check")


def _mean(values: Any) -> float:
    mean = float(np.mean(values))
    return mean if math.isfinite(mean) else 0.0

"""Rehearses toolchain "python": makes inputs, and has plain and senseless outputs judged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from ratchet.tasks.rehearsal.answers import GAMED_SHARE
from ratchet.tasks.rehearsal.calls import FAILED, Calls
from sandbox_service.failure import CandidateFailedError
from sandbox_service.toolchains.python.block import NEEDED, check_shapes
from sandbox_service.verify.judged import judged
from shared.errors import VerifierError
from shared.messages.records import JsonObject
from shared.tasks.task import ScoreSection


def rehearse(calls: Calls, verifier: Any, instances: Sequence[JsonObject], bounds: ScoreSection) -> None:
    missing = [name for name in NEEDED if not hasattr(verifier, name)]
    if missing:
        calls.fault("verifier", f"verifier.py has no {', '.join(missing)}", "see docs/tasks.md")
        return
    instance = dict(instances[0])
    first, again = (
        calls("make_inputs", "an instance, rng", verifier.make_inputs, instance, np.random.default_rng(seed))
        for seed in (1, 2)
    )
    if first is FAILED or again is FAILED:
        return
    absent = [name for name in verifier.GIVEN if name not in first]
    if absent:
        calls.fault("make_inputs", f"make_inputs gave no {', '.join(absent)}, which GIVEN names")
        return
    shapes = None
    if hasattr(verifier, "output_shapes"):
        shapes = calls("output_shapes", "an instance, its inputs", verifier.output_shapes, instance, first)
        if shapes is FAILED:
            return
    for name, outputs in _outputs(verifier, first, shapes).items():
        _judge(calls, verifier, instance, first, shapes, name, outputs, bounds)


def _outputs(verifier: Any, inputs: Any, shapes: Any) -> dict[str, dict[str, Any]]:
    """By name: outputs that do no work."""
    given = {name: inputs[name] for name in verifier.GIVEN}
    if shapes is None:
        arrays = {"zeros": {"out": np.zeros(3)}, "nothing": {}, "a number": {"out": np.array(1.0)}}
        arrays["NaN"] = {"out": np.full(3, np.nan)}
        return arrays | {f"the input {name!r} itself": {"out": value} for name, value in given.items()}
    arrays = {
        "zeros": {name: np.zeros(shape) for name, shape in shapes.items()},
        "ones": {name: np.ones(shape) for name, shape in shapes.items()},
        "huge numbers": {name: np.full(shape, 1e300) for name, shape in shapes.items()},
        "negative numbers": {name: np.full(shape, -1.0, np.float32) for name, shape in shapes.items()},
        "whole numbers": {name: np.ones(shape, np.int8) for name, shape in shapes.items()},
        "noise": {name: np.random.default_rng(0).normal(size=shape) for name, shape in shapes.items()},
    }
    for name, value in given.items():
        fits = {key: value for key, shape in shapes.items() if np.shape(value) == tuple(shape)}
        if len(fits) == len(shapes):
            arrays[f"the input {name!r} itself"] = fits
    return arrays


def _judge(
    calls: Calls,
    verifier: Any,
    instance: JsonObject,
    inputs: Any,
    shapes: Any,
    name: str,
    outputs: dict[str, Any],
    bounds: ScoreSection,
) -> None:
    started_s = time.monotonic()
    try:
        if shapes is not None:
            check_shapes(shapes, outputs)
    except CandidateFailedError:
        return
    with np.errstate(all="ignore"):
        returned = calls("judge", name, verifier.judge, instance, inputs, outputs)
    if returned is FAILED:
        return
    try:
        score = judged(returned, bounds).score
    except VerifierError as error:
        calls.fault("judge", f"judge({name}): {error.message}", "verifier.py, judge")
        return
    calls.took(started_s)
    if score >= bounds.low + GAMED_SHARE * (bounds.high - bounds.low):
        calls.note(f"{name} for an output scores {score:g}")

"""The interface of a task's verifier.py for its toolchain, typed, and the checks that hold for every such
task.

The module is the task's; this file only states what it must define, and checks outputs before it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from sandbox_service.failure import CandidateFailedError
from sandbox_service.verify.array_files import Values
from sandbox_service.verify.judged import judged
from sandbox_service.verify.layout import Arrays, unwritten
from shared.messages.records import JsonObject
from shared.tasks.task import ScoreSection


class KernelVerifier(Protocol):
    """verifier.py of a task with toolchain "c"."""

    CALL: str  # C: the candidate's prototype and `static void call(void **in, void **out)`
    FLAGS: list[str]  # of the compiler, the same for baseline and candidates

    def make_inputs(self, instance: JsonObject, rng: np.random.Generator) -> Arrays: ...

    def output_shapes(self, instance: JsonObject) -> dict[str, tuple[int, ...]]: ...

    def expected(self, instance: JsonObject, inputs: Arrays) -> Arrays: ...

    def check(self, instance: JsonObject, expected: Arrays, got: Arrays) -> str: ...

    def baseline(self, instance: JsonObject) -> str: ...

    def score(self, instance: JsonObject, speedup: float) -> float: ...


class PythonVerifier(Protocol):
    """verifier.py of a task with toolchain "python"; toolchains/python/toolchain.py has more."""

    ENTRY: str
    GIVEN: tuple[str, ...]

    def make_inputs(self, instance: JsonObject, rng: np.random.Generator) -> Values: ...

    def judge(self, instance: JsonObject, inputs: Values, outputs: Values) -> float | JsonObject: ...


def check_outputs(
    verifier: KernelVerifier, instance: JsonObject, expected: Mapping[str, Any], got: Arrays
) -> None:
    """Raises CandidateFailedError unless all was written, is finite, and passes the task's check."""
    missing = {name: unwritten(values) for name, values in got.items()}
    total, lost = sum(values.size for values in got.values()), sum(missing.values())
    if lost == total:
        raise CandidateFailedError("no_output", "the kernel returned and wrote nothing")
    for name, count in missing.items():
        if count:
            raise CandidateFailedError(
                "wrong", f"{name}: {count} of {got[name].size} elements were never written"
            )
    for name, values in got.items():
        bad = values.size - int(np.count_nonzero(np.isfinite(values)))
        if bad:
            raise CandidateFailedError(
                "wrong", f"{name}: {bad} of {values.size} elements are NaN or infinite"
            )
    reason = verifier.check(instance, dict(expected), got)
    if reason:
        raise CandidateFailedError("wrong", reason)


def measured(
    verifier: KernelVerifier, instance: JsonObject, baseline: Arrays, got: Arrays
) -> dict[str, float]:
    """What the optional `measures` of a verifier returns for a right output, beside the score: its finite
    numbers."""
    measures = getattr(verifier, "measures", None)
    found = {} if measures is None else measures(instance, baseline, got)
    return {name: float(value) for name, value in found.items() if np.isfinite(value)}


def bounded(score: object, low: float, high: float) -> float:
    """A verifier's score of a speed-up. Raises VerifierError where it is no number, or leaves the bounds that
    the gate's statistics rest on."""
    return judged({"score": score}, ScoreSection(low=low, high=high)).score

"""Toolchain "python": a candidate is a Python program that defines one function; the task's verifier scores
what that function returns.

verifier.py (the trusted side; docs/tasks.md shows one):
    ENTRY = "denoise"                   the function that a candidate must define
    GIVEN = ("counts",)                 names of the inputs that it is called with, in this order, by position
    make_inputs(instance, rng)          dict of arrays, scipy.sparse matrices or numbers; what GIVEN does not
                                        name (labels, held-out parts) never leaves the verifier's process.
                                        `rng` is secret and fresh for every block; a verifier may have its
                                        own. instance["check"] is "public" or "final": they draw differently
    judge(instance, inputs, outputs)    the score, or {"outcome", "score", "detail", "metrics"}
    output_shapes(instance, inputs)     optional: {name: shape}; what has another shape, is not real numbers
                                        or not finite never reaches judge. Without it judge checks all that,
                                        and must raise on nothing that an output may hold

A candidate runs in a cold process of its own, in the box: numpy, scipy, scikit-learn and whatever else stands
in the environment can be imported, [attempt] in task.toml limits time (candidate_s, from the interpreter's
start), memory, threads, and by the memory what it may write. It returns an array or sparse matrix (its name
is then "out"), or a dict of them. No pickle crosses the wall in either direction (array_files.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sandbox_service.verify.process import REPLY_TIMEOUT_S, VerifierProcess
from shared.messages.records import Check, Evaluation, JsonObject


def evaluate(
    verifier: VerifierProcess,
    check: Check,
    blocks: Sequence[tuple[JsonObject, Sequence[str]]],
    folder: Path,
) -> Iterator[list[Evaluation]]:
    """Evaluations of each block's candidates, block by block. Public and final ones differ in their draws."""
    candidate_s = verifier.task.manifest.attempt.candidate_s
    for instance, contents in blocks:
        timeout_s = REPLY_TIMEOUT_S + 2 * candidate_s * len(contents)  # one after the other, and judged
        seen = instance | {"check": check}
        found = verifier.ask("programs", timeout_s, instance=seen, contents=list(contents))
        yield [Evaluation.model_validate(fields) for fields in found]

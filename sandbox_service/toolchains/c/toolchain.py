"""Toolchain "c": a candidate is a C program, scored by its speed-up over the task's baseline.

All candidates of a batch are compiled first, on all cores, so that no compiler runs while a program is timed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sandbox_service.toolchains.c.compiler import CCompiler
from sandbox_service.verify.process import VerifierProcess
from shared.box.open import open_box
from shared.messages.records import Check, Evaluation, JsonObject


def evaluate(
    verifier: VerifierProcess,
    check: Check,
    blocks: Sequence[tuple[JsonObject, Sequence[str]]],
    folder: Path,
) -> Iterator[list[Evaluation]]:
    """Evaluations of each block's candidates, block by block. The same candidate twice is timed twice."""
    compiler = CCompiler(open_box(), folder)
    shared = verifier.ask("toolchain")
    baselines = [str(verifier.ask("baseline", instance=instance)) for instance, _ in blocks]
    sources = [source for _, contents in blocks for source in contents]
    made = compiler.libraries([*baselines, *sources], shared["call"], shared["flags"])
    low = verifier.task.manifest.score.low
    for (instance, contents), baseline in zip(blocks, baselines, strict=True):
        found: list[Evaluation | None] = [
            Evaluation(outcome="compile_error", score=low, detail=made[source].error)
            if made[source].path is None
            else None
            for source in contents
        ]
        waiting = [index for index, evaluation in enumerate(found) if evaluation is None]
        if waiting:
            timed = verifier.ask(
                "block",
                instance=instance,
                check=check,
                driver=str(compiler.driver()),
                baseline=str(made[baseline].needed("baseline")),
                libraries=[str(made[contents[index]].path) for index in waiting],
            )
            for index, fields in zip(waiting, timed, strict=True):
                found[index] = Evaluation.model_validate(fields)
        yield [evaluation for evaluation in found if evaluation is not None]

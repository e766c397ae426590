"""Toolchain "answer": a candidate is a text, scored by the task's verifier in the verifier's own process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from sandbox_service.verify.process import VerifierProcess
from shared.messages.records import Check, Evaluation, JsonObject


def evaluate(
    verifier: VerifierProcess,
    check: Check,
    blocks: Sequence[tuple[JsonObject, Sequence[str]]],
    folder: Path,
) -> Iterator[list[Evaluation]]:
    """Evaluations of each block's candidates, block by block. Public and final checks are the same."""
    for instance, contents in blocks:
        yield [
            Evaluation.model_validate(verifier.ask("score", instance=instance, content=content))
            for content in contents
        ]

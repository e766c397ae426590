"""`python -m sandbox_service.verifier_program TASK_DIR`: the trusted process of one task, kept warm.

It alone imports the task's verifier.py, makes inputs, knows expected outputs and holds the clock. One JSON
request a line on stdin, one JSON reply a line on stdout, until stdin closes. A verifier that raises ends it,
with the traceback on stderr: broken infrastructure, which its client (verifier_process.py) reports as such.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sandbox_service.timed.block import Bench, evaluate_block
from sandbox_service.toolchains.cuda.operations import CudaOperations
from sandbox_service.toolchains.python.block import Judge, evaluate_programs
from sandbox_service.verify.verifier import bounded
from shared.box.open import open_box
from shared.errors import RatchetError
from shared.messages.records import Evaluation, JsonObject
from shared.tasks.draw_program import load_verifier
from shared.tasks.task import Task, load_task


class Program:
    """The operations, by name; each takes the request's other fields and returns plain JSON."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.verifier: Any = load_verifier(task.folder)
        self.rng = np.random.default_rng()

    def toolchain(self) -> JsonObject:
        return {"call": self.verifier.CALL, "flags": list(self.verifier.FLAGS)}

    def baseline(self, instance: JsonObject) -> str:
        return str(self.verifier.baseline(instance))

    def block(
        self, instance: JsonObject, check: Any, driver: str, baseline: str, libraries: list[str]
    ) -> list[JsonObject]:
        bench = Bench(open_box(), Path(driver), self.verifier, self.task.manifest, self.rng)
        found = evaluate_block(bench, instance, check, Path(baseline), [Path(path) for path in libraries])
        return [evaluation.model_dump(mode="json") for evaluation in found]

    def programs(self, instance: JsonObject, contents: list[str]) -> list[JsonObject]:
        judge = Judge(open_box(), self.verifier, self.task.manifest, self.rng)
        return [found.model_dump(mode="json") for found in evaluate_programs(judge, instance, contents)]

    def score(self, instance: JsonObject, content: str) -> JsonObject:
        bounds = self.task.manifest.score
        said = self.verifier.score(instance, content)
        fields = said if isinstance(said, dict) else {"outcome": "ok", "score": said}
        evaluation = Evaluation.model_validate(fields)
        bounded(evaluation.score, bounds.low, bounds.high)
        return evaluation.model_dump(mode="json")


def main(arguments: list[str]) -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a verifier prints must not look like a reply
    program = Program(load_task(arguments[0]))
    operations: dict[str, Callable[..., Any]] = {
        "toolchain": program.toolchain,
        "baseline": program.baseline,
        "block": program.block,
        "programs": program.programs,
        "score": program.score,
    }
    cuda = CudaOperations(program.task, program.verifier, program.rng)
    for name in ("cuda", "cuda_plan", "cuda_standin", "cuda_block"):
        operations[name] = getattr(cuda, name)
    for line in sys.stdin:
        request = json.loads(line)
        operation = operations[request.pop("operation")]
        try:
            reply: JsonObject = {"value": operation(**request)}
        except RatchetError as error:
            reply = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main(sys.argv[1:])

"""`python -m sandbox_service.verifier_program TASK_DIR`: the trusted process of one task, kept warm.

It alone imports the task's verifier.py, makes inputs, knows expected outputs and takes the time. One JSON
request a line on stdin, one JSON reply a line on stdout, until stdin closes. The verifier itself finds stdin
empty, and what it prints goes to stderr. One that raises is answered with a VerifierError: it ends the run.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from sandbox_service.timed.block import Bench, evaluate_block
from sandbox_service.toolchains.cuda.operations import CudaOperations
from sandbox_service.toolchains.python.block import Judge, evaluate_programs
from sandbox_service.verify.judged import NotFiniteError, judged
from shared.box.open import open_box
from shared.errors import RatchetError, VerifierError
from shared.messages.records import Evaluation, JsonObject
from shared.tasks.draw_program import POSTED, load_verifier, private_streams
from shared.tasks.draws import last_line, where
from shared.tasks.task import Task, load_task

PLAIN_ANSWERS = ("0", "a", "{}", "[]")  # a verifier that judges one of these is not broken as a whole


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
        """What the verifier can't judge, although it judges plain answers, is the candidate's fault."""
        try:
            return self._scored(instance, content).model_dump(mode="json")
        except VerifierError as error:
            if not isinstance(error, NotFiniteError | RaisedError) or not self._judges(instance):
                raise
            detail = f"the verifier could not judge it: {error.message}"
            low = self.task.manifest.score.low
            return Evaluation(outcome="wrong", score=low, detail=detail).model_dump(mode="json")

    def answers(self, count: int, seed: int, posted: list[JsonObject]) -> list[tuple[JsonObject, list[str]]]:
        """Train instances with their right answers. The caller names no split, and no instances but posted
        ones, so the answers of the gate and of the sealed test can't be asked for."""
        found = []
        posted = [instance for instance in posted if str(instance["id"]).startswith(POSTED)]
        for instance in [*self.verifier.draw("train", count, seed), *posted]:
            try:
                returned = self.verifier.answers(instance)
            except (Exception, SystemExit) as error:
                raise RaisedError(*raised(error)) from error
            if not isinstance(returned, list) or not all(isinstance(answer, str) for answer in returned):
                raise VerifierError("verifier.answers must return a list of texts", "docs/tasks.md has more")
            found.append((instance, returned))
        return found

    def _scored(self, instance: JsonObject, content: str) -> Evaluation:
        try:
            found = self.verifier.score(instance, content)
        except (Exception, SystemExit) as error:
            raise RaisedError(*raised(error)) from error
        return judged(found, self.task.manifest.score)

    def _judges(self, instance: JsonObject) -> bool:
        """Whether it has a score for one of a few plain answers."""
        for answer in PLAIN_ANSWERS:
            with suppress(VerifierError):
                self._scored(instance, answer)
                return True
        return False


class RaisedError(VerifierError):
    """The verifier's own code raised."""


def raised(error: BaseException) -> tuple[str, str]:
    """(what, where): the last line of the traceback, and the verifier's line that it ends in."""
    text = "".join(traceback.format_exception(error))
    traceback.print_exception(error)  # into this process's log
    return f"verifier.py raised {last_line(text)}", where(text)


def main(arguments: list[str]) -> None:
    requests, replies = private_streams()
    program = Program(load_task(arguments[0]))
    operations: dict[str, Callable[..., Any]] = {
        "toolchain": program.toolchain,
        "baseline": program.baseline,
        "block": program.block,
        "programs": program.programs,
        "score": program.score,
        "answers": program.answers,
    }
    cuda = CudaOperations(program.task, program.verifier, program.rng)
    for name in ("cuda", "cuda_plan", "cuda_standin", "cuda_block"):
        operations[name] = getattr(cuda, name)
    for line in requests:
        request = json.loads(line)
        operation = operations[request.pop("operation")]
        try:
            reply: JsonObject = {"value": operation(**request)}
        except RatchetError as error:
            kind = VerifierError if isinstance(error, VerifierError) else type(error)
            reply = {"error": kind.__name__, "message": error.message, "hint": error.hint}
        except (Exception, SystemExit) as error:
            message, hint = raised(error)
            reply = {"error": VerifierError.__name__, "message": message, "hint": hint}
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


if __name__ == "__main__":
    main(sys.argv[1:])

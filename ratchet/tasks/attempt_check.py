"""Runs whole attempts of a task in the box, with given replies in place of the model's, and evaluates plain
candidates, for `ratchet validate`.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from sandbox_service.evaluate import Evaluator
from sandbox_service.toolchains.cuda.compiler import find_nvcc
from sandbox_service.verify.process import VerifierProcess
from shared.box.open import open_box
from shared.errors import TaskError
from shared.harness.bundle import load_harness
from shared.harness.folder import read_harness
from shared.harness.steps import ScaffoldPool, scaffold_context
from shared.messages.records import Block, CandidateBatch, Evaluation, JsonObject
from shared.store.store import LocalStore, materialize, put_bundle
from shared.tasks.task import Task

NO_PROGRAM = "this is no program"


class Trial:
    """Context manager: a box, a verifier and an evaluator for one task. `scoring_s`: the last one."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.scoring_s = 0.0
        self._stack = ExitStack()

    def __enter__(self) -> Trial:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        files = read_harness(self.task.folder / "harness")
        self.folder, self.store = folder, LocalStore(folder / "store")
        self.digest = put_bundle(self.store, files)
        self._unpacked = materialize(self.store, self.digest, folder / "harnesses")
        self.harness = load_harness(files)
        self.pool = self._stack.enter_context(ScaffoldPool(open_box()))
        self.evaluator = Evaluator(self.store, folder / "cache")
        self._stack.callback(self.evaluator.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def attempt(self, instance: JsonObject, replies: Sequence[str]) -> Evaluation:
        """How the scaffold's answer was scored; `replies` in turn, again and again. Raises ScaffoldFailed,
        TaskError."""
        given = itertools.cycle(replies)
        return self.attempt_by(instance, lambda request: [next(given) for _ in range(request.get("n", 1))])

    def attempt_by(self, instance: JsonObject, answer: Callable[[JsonObject], list[str]]) -> Evaluation:
        """The same, with what `answer` replies to each request."""
        limits = self.task.manifest.attempt
        context = scaffold_context(self.task, self.harness, None, 0)
        history = list[JsonObject]()
        for _ in range(limits.turns):
            payload = {"instance": instance, "history": history, "knobs": self.harness.values}
            payload["context"] = context
            action = self.pool.step(self.digest, self._unpacked, payload, limits, self.task.public)
            if "answer" in action:
                return self.evaluate(instance, [action["answer"]["content"]])[0]
            history.append(self._answered(instance, action, answer))
        raise TaskError(
            f"the scaffold gives no answer within {limits.turns} turns", "raise [attempt] turns, or answer"
        )

    def _answered(
        self, instance: JsonObject, action: JsonObject, answer: Callable[[JsonObject], list[str]]
    ) -> JsonObject:
        """The action as it will stand in the history: replies to an ask, real results to a try."""
        replies = [reply for request in action.get("ask", ()) for reply in answer(request)]
        contents = [candidate["content"] for candidate in action.get("try", ())]
        results = [found.model_dump() for found in self.evaluate(instance, contents)] if contents else []
        return {"action": action, "replies": replies, "results": results}

    def evaluate(self, instance: JsonObject, contents: Sequence[str]) -> tuple[Evaluation, ...]:
        started_s = time.monotonic()
        block = Block(instance=instance, entries=tuple((str(i), text) for i, text in enumerate(contents)))
        batch = CandidateBatch(task=str(self.task.folder), check="public", fresh=True, blocks=(block,))
        found = self.evaluator.evaluate(batch).blocks[0]
        if any(text.strip() for text in contents):
            self.scoring_s = (time.monotonic() - started_s) / len(contents)
        return found

    def candidates(self, instance: JsonObject) -> list[str]:
        """For toolchains whose candidates are programs: what is none must fail, the baseline must pass."""
        toolchain = self.task.manifest.toolchain
        if toolchain == "answer":
            return []
        if {"c": shutil.which("gcc"), "cuda": find_nvcc()}.get(toolchain, True) is None:
            return [f"nothing was compiled: no compiler for {toolchain} here"]
        low = self.task.manifest.score.low
        (found,) = self.evaluate(instance, [NO_PROGRAM])
        if found.outcome == "ok" or found.score > low:
            raise TaskError(f"{NO_PROGRAM!r} is scored {found.score} ({found.outcome})", "see verifier.py")
        if toolchain == "python":
            return [f"{found.outcome} for what is no program"]
        with VerifierProcess(self.task) as verifier:
            source = verifier.ask("baseline", instance=instance)
        (found,) = self.evaluate(instance, [source])
        if found.outcome not in ("ok", "not_timed"):
            raise TaskError(
                f"the baseline as a candidate is {found.outcome}: {found.detail}", "see verifier.baseline"
            )
        return [f"{found.score:g} ({found.outcome}) for the baseline itself"]

"""CandidateBatch in, BatchScores out: refusals, the cache, duplicates, and the task's toolchain for the rest.

A candidate's failure is an Evaluation with the task's lowest score. Broken infrastructure raises (BoxError
and its kin), so that the job is tried again; it never becomes a score.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sandbox_service import cache
from sandbox_service.apart import evaluate_apart, may_be_a_candidates_doing
from sandbox_service.toolchains import answer
from sandbox_service.toolchains.c import toolchain as c
from sandbox_service.toolchains.cuda import toolchain as cuda
from sandbox_service.toolchains.python import toolchain as python
from sandbox_service.verify.process import VerifierProcess
from shared.errors import TaskError
from shared.messages.records import (
    GPU_S,
    UNSCORED,
    BatchScores,
    Block,
    CandidateBatch,
    Check,
    Cost,
    Evaluation,
    JsonObject,
    digest_of,
)
from shared.store.store import Store
from shared.tasks.task import Task, load_task, with_limits

MAX_CANDIDATE_BYTES = 64 << 10
PLAIN = "0"  # a candidate that every toolchain but "c" can deal with: an answer, or no program
log = logging.getLogger(__name__)
Toolchain = Callable[
    [VerifierProcess, Check, Sequence[tuple[JsonObject, Sequence[str]]], Path], Iterator[list[Evaluation]]
]
TOOLCHAINS: dict[str, Toolchain] = {
    "answer": answer.evaluate,
    "c": c.evaluate,
    "cuda": cuda.evaluate,
    "python": python.evaluate,
}


class Evaluator:
    """Keeps the verifier of each task warm, until the task's folder changes. One batch at a time."""

    def __init__(self, store: Store, cache_dir: Path) -> None:
        self._store = store
        self._folder = cache_dir / "compiled"
        self._verifiers: dict[str, tuple[str, VerifierProcess]] = {}  # by task: what it loaded, and it
        self._digests: dict[str, tuple[cache.Stamp, str]] = {}

    def evaluate(self, batch: CandidateBatch) -> BatchScores:
        started = time.monotonic()
        task = with_limits(load_task(batch.task), batch.limits)
        verifier = self._digest(task)  # before anything is scored: an edit that comes meanwhile has no part

        def key(instance: JsonObject, content: str) -> str:
            limits = task.manifest.attempt.model_dump()
            return cache.key_of(digest_of([verifier, limits]), instance, content, batch.check)

        sheets = [_Sheet(block, task.manifest.score.low, batch.fresh) for block in batch.blocks]
        if not batch.fresh:
            for sheet in sheets:
                sheet.recall(lambda instance, content: cache.find(self._store, key(instance, content)))
        unfinished = [sheet for sheet in sheets if sheet.waiting]
        made = self._run(task, batch.check, [(sheet.block.instance, sheet.waiting) for sheet in unfinished])
        keeps = not batch.fresh and verifier == self._digest(task)
        measured = [evaluation for found in made for evaluation in found]
        gpu_s = math.fsum(evaluation.metrics.get(GPU_S, 0.0) for evaluation in measured)
        for sheet, found in zip(unfinished, made, strict=True):
            if keeps:
                found = [
                    self._keep(key(sheet.block.instance, content), evaluation)
                    for content, evaluation in zip(sheet.waiting, found, strict=True)
                ]
            sheet.fill(found)
        box_s = round(time.monotonic() - started, 3)
        cost = Cost(evaluations=len(measured), box_s=box_s, gpu_s=gpu_s)
        blocks = tuple(sheet.results() for sheet in sheets)
        return BatchScores(blocks=blocks, cost=cost, verifier=verifier)

    def answers(
        self, task: Task, count: int, seed: int, posted: Sequence[JsonObject] = ()
    ) -> list[tuple[JsonObject, list[str]]]:
        """Train instances with their right answers, of a task whose verifier returns them; `posted` ones
        too, made of posted scores."""
        found = self._verifier(task).ask("answers", count=count, seed=seed, posted=list(posted))
        return [(instance, answers) for instance, answers in found]

    def close(self) -> None:
        for _, verifier in self._verifiers.values():
            verifier.close()
        self._verifiers.clear()

    def _run(
        self, task: Task, check: Check, blocks: list[tuple[JsonObject, Sequence[str]]]
    ) -> list[list[Evaluation]]:
        toolchain = TOOLCHAINS.get(task.manifest.toolchain)
        if toolchain is None:
            known = ", ".join(TOOLCHAINS)
            raise TaskError(f"{task.name}: unknown toolchain {task.manifest.toolchain!r}", f"known: {known}")
        if not blocks:
            return []
        try:
            return list(toolchain(self._verifier(task), check, blocks, self._folder))
        except Exception as error:  # any candidate may be the cause
            if not may_be_a_candidates_doing(error, self._verifier(task, alive=False).alive()):
                raise
            log.warning("%s: trying each candidate by itself: %s", task.name, error)

        def run(instance: JsonObject, content: str) -> Evaluation:
            (found,) = toolchain(self._verifier(task), check, [(instance, [content])], self._folder)
            return found[0]

        def control(instance: JsonObject) -> str:
            timed = task.manifest.toolchain == "c"  # only the baseline shows that timing works
            return str(self._verifier(task).ask("baseline", instance=instance)) if timed else PLAIN

        return evaluate_apart(run, blocks, control, task.manifest.score.low)

    def _verifier(self, task: Task, *, alive: bool = True) -> VerifierProcess:
        """The task's warm one; started again if it died, unless a dead one will do, and if the task's folder
        is another since."""
        name = _with_limits(task)
        digest, found = self._verifiers.get(name, ("", None))
        if found is not None and not alive:
            return found
        if found is None or not found.alive() or digest != self._digest(task):
            if found is not None:
                found.close()
            digest = self._digest(task)
            found = VerifierProcess(task)
            self._verifiers[name] = digest, found
        return found

    def _digest(self, task: Task) -> str:
        """Of the folder as it is now; read again only where a file of it is another."""
        name, stamp = _with_limits(task), cache.stamp(task)
        if name not in self._digests or self._digests[name][0] != stamp:
            self._digests[name] = stamp, cache.verifier_digest(task)
        return self._digests[name][1]

    def _keep(self, key: str, evaluation: Evaluation) -> Evaluation:
        if evaluation.outcome in UNSCORED:  # another time, or on a machine with a device, it is another
            return evaluation
        return cache.keep(self._store, key, evaluation)


def _with_limits(task: Task) -> str:
    """What distinguishes tasks here: a run may have limits of its own."""
    return f"{task.folder} {task.manifest.attempt.model_dump_json()}"


class _Sheet:
    """One block being filled in: what is known of its entries, and which contents wait for evaluation."""

    def __init__(self, block: Block, low: float, fresh: bool) -> None:
        self.block = block
        self._entries = [content for _, content in block.entries]
        self._known: list[Evaluation | None] = [refusal(content, low) for content in self._entries]
        self._fresh = fresh

    @property
    def waiting(self) -> list[str]:
        """In order; where the cache may serve, every content once."""
        pairs = zip(self._entries, self._known, strict=True)
        contents = [content for content, known in pairs if known is None]
        return contents if self._fresh else list(dict.fromkeys(contents))

    def recall(self, find: Callable[[JsonObject, str], Evaluation | None]) -> None:
        for index, content in enumerate(self._entries):
            if self._known[index] is None:
                self._known[index] = find(self.block.instance, content)

    def fill(self, found: Sequence[Evaluation]) -> None:
        """Evaluations of `waiting`, in its order."""
        by_content = dict(zip(self.waiting, found, strict=True))
        in_order = iter(found)
        for index, content in enumerate(self._entries):
            if self._known[index] is None:
                self._known[index] = next(in_order) if self._fresh else by_content[content]

    def results(self) -> tuple[Evaluation, ...]:
        return tuple(evaluation for evaluation in self._known if evaluation is not None)


def refusal(content: str, low: float) -> Evaluation | None:
    """Why a candidate is not even tried, or None."""
    if not content.strip():
        return Evaluation(outcome="refused", score=low, detail="the candidate is empty")
    try:
        size = len(content.encode())
    except UnicodeEncodeError:  # half of a surrogate pair, which a JSON reply may hold
        return Evaluation(outcome="refused", score=low, detail="the candidate is not UTF-8 text")
    if size > MAX_CANDIDATE_BYTES:
        detail = f"the candidate has {size} bytes; {MAX_CANDIDATE_BYTES} are allowed"
        return Evaluation(outcome="refused", score=low, detail=detail)
    return None

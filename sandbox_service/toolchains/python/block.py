"""One block: all Python candidates of one instance, on the same inputs, judged by the trusted parent.

Inputs are drawn afresh for every block from the system's entropy, so what an evaluation turns on is in no
seed that a candidate could know. Only what the verifier names in GIVEN goes into the box.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

import numpy as np

from sandbox_service.failure import CandidateFailedError
from sandbox_service.toolchains.python.boxed_program import Job, read_outputs, run_program
from sandbox_service.verify.array_files import ArrayFileError, Values, is_sparse, write_arrays
from sandbox_service.verify.judged import NotFiniteError, judged
from sandbox_service.verify.verifier import PythonVerifier
from shared.box.box import Box
from shared.box.machine_lock import busy
from shared.errors import BoxError, TaskError, VerifierError
from shared.messages.records import Evaluation, JsonObject
from shared.tasks.task import TaskManifest

NEEDED = ("ENTRY", "GIVEN", "make_inputs", "judge")
BY_OTHERS = ("timeout", "over_limit")  # how a program may end because others left it no cores or no memory


@dataclass(frozen=True)
class Judge:
    """What stays the same over the blocks of a task."""

    box: Box
    verifier: PythonVerifier
    manifest: TaskManifest
    rng: np.random.Generator

    def __post_init__(self) -> None:
        missing = [name for name in NEEDED if not hasattr(self.verifier, name)]
        if missing:
            raise TaskError(
                f"{self.manifest.name}: verifier.py has no {', '.join(missing)}", "see docs/tasks.md"
            )


def evaluate_programs(judge: Judge, instance: JsonObject, sources: Sequence[str]) -> list[Evaluation]:
    """One Evaluation per source, in order. As many run at once as the cores have room for their threads. One
    that reached a limit beside others runs again by itself: it may start more processes than it has cores,
    so the other arm's candidate could be what held it up."""
    inputs: Values = judge.verifier.make_inputs(instance, judge.rng)
    workers = max(1, (os.cpu_count() or 1) // judge.manifest.attempt.threads)
    with tempfile.TemporaryDirectory(prefix="ratchet-python-") as scratch:
        block = _Block(judge, instance, inputs, _job(judge, inputs, Path(scratch)), Path(scratch))
        found = block.evaluated(sources, workers)
        if min(workers, len(sources)) > 1:
            for index, source in enumerate(sources):
                if found[index].outcome in BY_OTHERS:
                    found[index : index + 1] = block.evaluated([source], 1)
        return found


@dataclass(frozen=True)
class _Block:
    """What all programs of a block have in common."""

    judge: Judge
    instance: JsonObject
    inputs: Values
    job: Job
    scratch: Path

    def evaluated(self, sources: Sequence[str], workers: int) -> list[Evaluation]:
        """So many at a time. All have ended when it returns."""
        with ThreadPoolExecutor(workers) as pool:
            folders = [Path(self.scratch, secrets.token_hex(8)) for _ in sources]
            pairs = zip(sources, folders, strict=True)
            runs = [pool.submit(_run, self.job, source, folder) for source, folder in pairs]
            return [self._evaluation(run, folder) for run, folder in zip(runs, folders, strict=True)]

    def _evaluation(self, run: Future[float], folder: Path) -> Evaluation:
        try:
            seconds = run.result()
            outputs = read_outputs(self.job, folder)
            rmtree(folder)  # what waits on the disk: outputs that are not read yet
            return _judged(self.judge, self.instance, self.inputs, outputs, seconds)
        except CandidateFailedError as failure:
            low = self.judge.manifest.score.low
            return Evaluation(outcome=failure.outcome, score=low, detail=failure.detail)


def _job(judge: Judge, inputs: Values, folder: Path) -> Job:
    folder.chmod(0o711)  # so that the box's own user gets through to what it is given
    missing = [name for name in judge.verifier.GIVEN if name not in inputs]
    if missing:
        raise TaskError(f"{judge.manifest.name}: make_inputs gave no {', '.join(missing)}, which GIVEN names")
    path = folder / "inputs"
    try:
        with path.open("wb") as file:
            write_arrays(file, {name: inputs[name] for name in judge.verifier.GIVEN})
    except ArrayFileError as error:
        raise TaskError(f"{judge.manifest.name}: make_inputs: {error}") from None
    except OSError as error:
        raise BoxError(f"can't write a candidate's inputs: {error.strerror}", "make room there") from error
    return Job(judge.box, judge.verifier.ENTRY, path, judge.manifest.attempt)


def _run(job: Job, source: str, folder: Path) -> float:
    try:
        folder.mkdir(mode=0o711)
        with busy():
            return run_program(job, source, folder)
    except OSError as error:  # such as a disk that outputs of others have filled: no fault of the verifier
        raise BoxError(f"can't write a candidate's files: {error.strerror}", "make room there") from error


def _judged(
    judge: Judge, instance: JsonObject, inputs: Values, outputs: Values, seconds: float
) -> Evaluation:
    started = time.monotonic()
    if (shapes := getattr(judge.verifier, "output_shapes", None)) is not None:
        check_shapes(shapes(instance, inputs), outputs)
    try:
        evaluation = judged(judge.verifier.judge(instance, inputs, outputs), judge.manifest.score)
    except (Exception, SystemExit) as error:  # the verifier's own code: it may raise anything
        broken = isinstance(error, VerifierError) and not isinstance(error, NotFiniteError)
        if broken or not _judges(judge, instance, inputs):
            raise
        raise CandidateFailedError(
            "wrong", f"the verifier could not judge it: {type(error).__name__}: {error}"
        ) from error
    took = {"seconds": round(seconds, 3), "judge_s": round(time.monotonic() - started, 3)}
    return evaluation.model_copy(update={"metrics": {**took, **evaluation.metrics}})


def _judges(judge: Judge, instance: JsonObject, inputs: Values) -> bool:
    """Whether the verifier has a score for plain outputs: zeros, of the declared shapes or of an input's."""
    if (shapes := getattr(judge.verifier, "output_shapes", None)) is not None:
        plain = [{name: np.zeros(shape) for name, shape in shapes(instance, inputs).items()}]
    else:
        plain = [{"out": np.zeros(np.shape(value))} for value in inputs.values()]
    for outputs in plain:
        with suppress(Exception, SystemExit):
            judged(judge.verifier.judge(instance, inputs, outputs), judge.manifest.score)
            return True
    return False


def check_shapes(wanted: dict[str, tuple[int, ...]], outputs: Values) -> None:
    """Raises CandidateFailedError unless each is there, has its shape, and holds finite real numbers."""
    for name, shape in wanted.items():
        if name not in outputs:
            names = ", ".join(outputs) or "nothing"
            raise CandidateFailedError("no_output", f"there is no output {name!r}; there is {names}")
        found = outputs[name]
        if tuple(found.shape) != tuple(shape):
            raise CandidateFailedError(
                "wrong", f"{name} has shape {tuple(found.shape)} instead of {tuple(shape)}"
            )
        numbers = found.data if is_sparse(found) else found
        if numbers.dtype.kind not in "biuf":
            raise CandidateFailedError("wrong", f"{name} holds {numbers.dtype}, not real numbers")
        bad = numbers.size - int(np.count_nonzero(np.isfinite(numbers)))
        if bad:
            raise CandidateFailedError(
                "wrong", f"{name}: {bad} of {numbers.size} elements are NaN or infinite"
            )

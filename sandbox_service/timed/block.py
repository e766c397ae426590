"""One block: all candidates of one instance, checked and timed beside the baseline by the trusted parent.

First every program runs once, untimed, and its output is compared with the float64 reference. Those that
are right are then timed in interleaved rounds under the machine's quiet lock. Every round has fresh inputs,
the same for all programs; every output of every round is compared with the baseline's of that round, and the
baseline's own with the float64 reference in the first and in the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sandbox_service.failure import CandidateFailedError
from sandbox_service.timed import timing
from sandbox_service.timed.kernel import RAN_ON, Kernel, Quota
from sandbox_service.timed.kernel_sets import Stage, kernel_sets
from sandbox_service.verify.layout import Arrays
from sandbox_service.verify.verifier import KernelVerifier, bounded, check_outputs, measured
from shared.box.box import Box
from shared.box.machine_lock import busy, quiet
from shared.errors import BoxError, RatchetError, VerifierError
from shared.messages.records import Check, Evaluation, JsonObject
from shared.tasks.task import TaskManifest

ALONE = 5  # fresh inputs on which a baseline that failed is tried by itself


@dataclass
class Program:
    """A kernel with what is known of it so far."""

    kernel: Kernel
    seconds: list[float] = field(default_factory=list)  # one a round
    failure: CandidateFailedError | None = None
    measures: dict[str, float] = field(default_factory=dict)  # of its last right output


@dataclass(frozen=True)
class Bench:
    """What stays the same over the blocks of a task."""

    box: Box
    driver: Path
    verifier: KernelVerifier
    manifest: TaskManifest
    rng: np.random.Generator  # from the system's entropy: no seed that a candidate could know

    def stage(self, instance: JsonObject) -> Stage:
        limits = self.manifest.attempt
        quota = Quota(
            limits.threads, limits.candidate_memory_mb, int(limits.candidate_s * limits.threads * 10)
        )
        inputs = self.verifier.make_inputs(instance, self.rng)
        return Stage(self.box, self.driver, quota, inputs, self.verifier.output_shapes(instance))


def evaluate_block(
    bench: Bench, instance: JsonObject, check: Check, baseline: Path, libraries: Sequence[Path]
) -> list[Evaluation]:
    """One Evaluation per library, in order. Where the baseline fails, raises VerifierError if it does so by
    itself as well, else BoxError."""
    sets = kernel_sets(bench.stage(instance), [baseline], libraries)
    try:
        with closing(sets):
            return [found for kernels in sets for found in _evaluate(bench, instance, check, kernels)]
    except _BaselineFailedError as error:
        raise _blamed(bench, instance, baseline, error.failure) from error


class _BaselineFailedError(Exception):
    def __init__(self, failure: CandidateFailedError) -> None:
        super().__init__(str(failure))
        self.failure = failure


def _blamed(
    bench: Bench, instance: JsonObject, baseline: Path, failure: CandidateFailedError
) -> RatchetError:
    """No candidate is running any more: what fails now is the task's own, and fails again on each retry."""
    again = _fault_alone(bench, instance, baseline)
    if again is None:
        return BoxError(f"the baseline failed beside candidates ({failure.outcome}): {failure.detail}")
    return VerifierError(
        f"the baseline itself fails on instance {instance.get('id')!r} ({again.outcome}): {again.detail}",
        "see baseline, expected and check in verifier.py, and candidate_s in task.toml",
    )


def _fault_alone(bench: Bench, instance: JsonObject, baseline: Path) -> CandidateFailedError | None:
    sets = kernel_sets(bench.stage(instance), [], [baseline])
    with closing(sets), busy():
        program = Program(next(sets)[0])
        with _noted(program):
            program.kernel.load(bench.manifest.attempt.candidate_s)
            for _ in range(ALONE):
                inputs = bench.verifier.make_inputs(instance, bench.rng)
                program.kernel.fill(inputs)
                program.kernel.run(bench.manifest.attempt.candidate_s)
                expected = bench.verifier.expected(instance, inputs)
                check_outputs(bench.verifier, instance, expected, program.kernel.outputs())
    return program.failure


def _evaluate(
    bench: Bench, instance: JsonObject, check: Check, kernels: Sequence[Kernel]
) -> list[Evaluation]:
    """Of all kernels but the first, which is the baseline."""
    programs = [Program(kernel) for kernel in kernels]
    limit_s = bench.manifest.attempt.candidate_s
    with busy():
        for program in programs:
            with _noted(program):
                program.kernel.load(limit_s)
        _demand(programs[0])
        first_s = _first_run(bench, instance, programs, limit_s)
    if any(program.failure is None for program in programs[1:]):
        rounds = timing.rounds_for(check, first_s)
        inputs, got = _time(bench, instance, programs, rounds, timing.deadline_s(limit_s, first_s))
        _demand_right(bench, instance, inputs, got)
    return [_evaluation(bench, instance, programs[0], program) for program in programs[1:]]


def _first_run(bench: Bench, instance: JsonObject, programs: list[Program], limit_s: float) -> float:
    """The warm-up, which is also the check against float64. Returns the baseline's time in seconds."""
    inputs = bench.verifier.make_inputs(instance, bench.rng)
    expected = bench.verifier.expected(instance, inputs)
    first_s = 0.0
    for index, program in enumerate(programs):
        if program.failure is not None:
            continue
        with _noted(program):
            program.kernel.fill(inputs)
            took_s = program.kernel.run(timing.deadline_s(limit_s, first_s) if index else limit_s)
            check_outputs(bench.verifier, instance, expected, program.kernel.outputs())
        if index == 0:
            _demand(program)
            first_s = took_s
    return first_s


def _time(
    bench: Bench, instance: JsonObject, programs: list[Program], rounds: int, timeout_s: float
) -> tuple[Arrays, Arrays]:
    """All rounds, alone on the machine. Returns the last round's inputs and the baseline's outputs."""
    alive = [program for program in programs if program.failure is None]
    with quiet():
        for order in timing.orders(len(alive), rounds, bench.rng):
            inputs = bench.verifier.make_inputs(instance, bench.rng)
            while (outputs := timed_round(alive, order, inputs, timeout_s)) is None:
                _demand(alive[0])
            _demand(alive[0])
            reference = outputs[0]
            for index, program in enumerate(alive):
                if program.failure is None and index:
                    with _noted(program):
                        check_outputs(bench.verifier, instance, _wide(reference), outputs[index])
                        program.measures = measured(bench.verifier, instance, reference, outputs[index])
                    if program.failure is not None:  # unless it was the baseline that erred in this round
                        _demand_right(bench, instance, inputs, reference)
    return inputs, reference


def timed_round(
    alive: list[Program], order: list[int], inputs: Arrays, timeout_s: float
) -> dict[int, Arrays] | None:
    """Each program's outputs, by its index. None where one ran while another was timed: it has failed, and
    the round, whose times mean nothing, is to be done again without it.
    """
    done, outputs = [len(program.seconds) for program in alive], {}
    for index in order:
        others = [program for place, program in enumerate(alive) if place != index]
        still = _kept_still(others)
        outputs[index] = _timed_run(alive[index], inputs, timeout_s)
        if not (_kept_still(others) and still):
            for program, rounds in zip(alive, done, strict=True):
                del program.seconds[rounds:]
            return None
    return outputs


def _kept_still(programs: list[Program]) -> bool:
    """Whether all of them have; one that has not has failed."""
    moved = [program for program in programs if program.failure is None and not program.kernel.kept_still()]
    for program in moved:
        program.failure = CandidateFailedError("over_limit", RAN_ON)
    return not moved


def _timed_run(program: Program, inputs: Arrays, timeout_s: float) -> Arrays:
    with _noted(program):
        if program.failure is None:
            program.kernel.fill(inputs)
            program.seconds.append(program.kernel.run(timeout_s))
            return program.kernel.outputs()
    return {}


def _evaluation(bench: Bench, instance: JsonObject, baseline: Program, program: Program) -> Evaluation:
    bounds = bench.manifest.score
    if program.failure is not None:
        return Evaluation(outcome=program.failure.outcome, score=bounds.low, detail=program.failure.detail)
    timed = timing.summarize(baseline.seconds, program.seconds)
    score = bounded(bench.verifier.score(instance, timed.speedup), bounds.low, bounds.high)
    return Evaluation(outcome="ok", score=score, metrics=program.measures | vars(timed))


def _wide(arrays: Arrays) -> Arrays:
    return {name: values.astype(np.float64) for name, values in arrays.items()}


@contextmanager
def _noted(program: Program) -> Iterator[None]:
    """A candidate's failure is recorded, and the block continues without it."""
    try:
        yield
    except CandidateFailedError as failure:
        program.failure = failure


@contextmanager
def _baseline_is_right() -> Iterator[None]:
    try:
        yield
    except CandidateFailedError as failure:
        raise _BaselineFailedError(failure) from failure


def _demand_right(bench: Bench, instance: JsonObject, inputs: Arrays, got: Arrays) -> None:
    """The baseline's outputs, compared with float64."""
    with _baseline_is_right():
        check_outputs(bench.verifier, instance, bench.verifier.expected(instance, inputs), got)


def _demand(baseline: Program) -> None:
    """The baseline is trusted: where it fails, the machine or the task is broken, not a candidate."""
    with _baseline_is_right():
        if baseline.failure is not None:
            raise baseline.failure

"""All candidates of one instance on the GPU, each checked and timed beside the baseline by the trusted side.

A candidate is first run on a small shape and compared with float64 (for a final check, and where it is
there, under compute-sanitizer). Then a fresh process loads it, and it is timed A B B A with the baseline,
every round on fresh inputs and poisoned outputs; every output is compared with the baseline's of that round.
After a crash or a hang a canary tests whether the GPU still works.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sandbox_service.failure import CandidateFailedError
from sandbox_service.timed import timing
from sandbox_service.timed.arena import Arena
from sandbox_service.toolchains.cuda import health as cuda_health
from sandbox_service.toolchains.cuda import timing as cuda_timing
from sandbox_service.toolchains.cuda.launch import Launch, checked, checked_scratch
from sandbox_service.toolchains.cuda.process import SANITIZER_FOUND, CudaKernel, Run
from sandbox_service.verify.layout import Arrays
from sandbox_service.verify.verifier import bounded, check_outputs
from shared.box.machine_lock import busy, quiet
from shared.errors import BoxError
from shared.messages.records import GPU_S, Check, Evaluation, JsonObject
from shared.tasks.task import TaskManifest

CANARY_INTS = 1 << 20
CANARY_S = 20.0
SANITIZER = ("--error-exitcode", str(SANITIZER_FOUND), "--print-limit", "3")
SANITIZER_SLOWER = 100.0


@dataclass(frozen=True)
class CudaBench:
    """What stays the same over the blocks of a task. `folder` holds quarantines."""

    verifier: Any
    manifest: TaskManifest
    rng: np.random.Generator
    canary: Path
    folder: Path


@dataclass(frozen=True)
class Program:
    """A cubin and the launch settings of its source."""

    cubin: Path
    meta: JsonObject


@dataclass
class Timed:
    """What the rounds gave so far."""

    baseline: list[Run] = field(default_factory=list)
    candidate: list[Run] = field(default_factory=list)
    clocks: list[JsonObject] = field(default_factory=list)


META_FAULTS = (TypeError, LookupError, ArithmeticError, AttributeError)  # of settings that a candidate wrote


def plan(verifier: Any, task: str, instance: JsonObject, meta: JsonObject) -> tuple[list[Launch], JsonObject]:
    """Launches and scratch for a shape. Raises ValueError where the candidate's geometry is out of bounds."""
    scratch = checked_scratch(task, verifier.scratch(instance))
    inputs = list(verifier.make_inputs({**instance, **verifier.small(instance)}, np.random.default_rng(0)))
    buffers = {*inputs, *verifier.output_shapes(instance), *scratch}
    try:
        launches = verifier.launch(instance, meta)
    except META_FAULTS as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return checked(task, launches, buffers), scratch


def evaluate_cuda(
    bench: CudaBench, instance: JsonObject, check: Check, baseline: Program, candidates: Sequence[Program]
) -> list[Evaluation]:
    """One Evaluation per candidate, with the seconds for which it held the GPU as the metric `gpu_s`. Raises
    NoDeviceError without a GPU, BoxError for a broken one."""
    with CudaKernel() as anchor:
        cuda_health.refuse_quarantined(bench.folder, anchor.device["pci"])
        with _ours(), _loaded(bench, instance, baseline, anchor) as inputs:
            with busy():
                first_s = _first_run(bench, instance, anchor, inputs).event_s
            found = []
            for candidate in candidates:
                began_s = time.monotonic()
                evaluation = _evaluate_one(bench, instance, check, anchor, candidate, first_s)
                held = {GPU_S: time.monotonic() - began_s}
                found.append(evaluation.model_copy(update={"metrics": evaluation.metrics | held}))
            return found


def _first_run(bench: CudaBench, instance: JsonObject, kernel: CudaKernel, inputs: Arrays) -> Run:
    kernel.arena.fill(inputs)
    run = kernel.run(bench.manifest.attempt.candidate_s)
    check_outputs(bench.verifier, instance, bench.verifier.expected(instance, inputs), kernel.arena.outputs())
    return run


@contextmanager
def _loaded(bench: CudaBench, instance: JsonObject, program: Program, kernel: CudaKernel) -> Iterator[Arrays]:
    """The program loaded for this shape, with an arena; gives inputs, made after the load."""
    layout = bench.verifier.make_inputs(instance, bench.rng)  # only their sizes are used
    launches, scratch = plan(bench.verifier, bench.manifest.name, instance, program.meta)
    with Arena(layout, bench.verifier.output_shapes(instance)) as arena:
        kernel.load(
            program.cubin, arena, {name: array.nbytes for name, array in layout.items()}, scratch, launches
        )
        yield bench.verifier.make_inputs(instance, bench.rng)


def _evaluate_one(
    bench: CudaBench,
    instance: JsonObject,
    check: Check,
    anchor: CudaKernel,
    candidate: Program,
    first_s: float,
) -> Evaluation:
    pci, low = anchor.device["pci"], bench.manifest.score.low
    limit_s = timing.deadline_s(bench.manifest.attempt.candidate_s, first_s)
    try:
        with _canary_after(bench, pci):
            with busy():
                check_small(bench, instance, candidate, sanitize=check == "final")
            with CudaKernel() as kernel, _loaded(bench, instance, candidate, kernel) as inputs:
                kernel.arena.fill(inputs)
                kernel.run(limit_s)  # the first launch also loads code; the timed rounds have other inputs
                timed = _time(bench, instance, check, (anchor, kernel), limit_s)
            return _evaluation(bench, instance, anchor.device["name"], timed)
    except CandidateFailedError as failure:
        return Evaluation(outcome=failure.outcome, score=low, detail=failure.detail)


def check_small(bench: CudaBench, instance: JsonObject, candidate: Program, *, sanitize: bool) -> None:
    """Two runs on a small shape against float64. Raises CandidateFailedError."""
    small = {**instance, **bench.verifier.small(instance)}
    checker = shutil.which("compute-sanitizer") if sanitize else None
    limit_s = bench.manifest.attempt.candidate_s * (SANITIZER_SLOWER if checker else 1)
    prefix = [checker, *SANITIZER] if checker else []
    with CudaKernel(prefix) as kernel, _loaded(bench, small, candidate, kernel) as inputs:
        for _ in range(2):
            kernel.arena.fill(inputs)
            kernel.run(limit_s)
            expected = bench.verifier.expected(small, inputs)
            check_outputs(bench.verifier, small, expected, kernel.arena.outputs())
            inputs = bench.verifier.make_inputs(small, bench.rng)
        if checker and kernel.finish() == SANITIZER_FOUND:
            raise CandidateFailedError("wrong", "compute-sanitizer found a bad memory access")


def _time(
    bench: CudaBench,
    instance: JsonObject,
    check: Check,
    kernels: tuple[CudaKernel, CudaKernel],
    limit_s: float,
) -> Timed:
    """A B B A ..., alone on the machine. Every output is checked before the next inputs are made.

    A round whose clocks do not agree is timed again: the machine may have stalled. After CLOCK_RETRIES such
    rounds the next raises CandidateFailedError, or BoxError if the baseline's clocks are at odds.
    """
    timed, faults = Timed(), 0
    with quiet():
        for order in timing.orders(2, cuda_timing.rounds_for(check), bench.rng):
            while found := _round(bench, instance, order, kernels, limit_s, timed):
                index, fault = found
                faults += 1
                if faults > cuda_timing.CLOCK_RETRIES:
                    with nullcontext() if index else _ours():
                        raise CandidateFailedError("refused", f"the clocks do not agree: {fault}")
    return timed


def _round(
    bench: CudaBench,
    instance: JsonObject,
    order: Sequence[int],
    kernels: tuple[CudaKernel, CudaKernel],
    limit_s: float,
    timed: Timed,
) -> tuple[int, str] | None:
    """One round on inputs of its own, added to `timed` unless the clocks of a program disagree.

    Gives that program's index and the fault, or None.
    """
    inputs = bench.verifier.make_inputs(instance, bench.rng)
    runs: dict[int, Run] = {}
    outputs: dict[int, Arrays] = {}
    for index in order:
        kernels[index].arena.fill(inputs)
        with nullcontext() if index else _ours():
            runs[index] = kernels[index].run(limit_s if index else bench.manifest.attempt.candidate_s)
        outputs[index] = kernels[index].arena.outputs()
    check_outputs(bench.verifier, instance, outputs[0], outputs[1])
    for index, run in runs.items():
        if fault := cuda_timing.clock_fault(run.event_s, run.wall_s, run.parent_s):
            return index, fault
    timed.baseline.append(runs[0])
    timed.candidate.append(runs[1])
    timed.clocks.append(cuda_health.clocks(kernels[0].device["pci"]))
    return None


def _evaluation(bench: CudaBench, instance: JsonObject, device: str, timed: Timed) -> Evaluation:
    floor_s = bench.verifier.floor_s(instance, device)
    own = [run.event_s for run in timed.candidate]
    if fault := cuda_timing.floor_fault(own, floor_s):
        raise CandidateFailedError("refused", fault)
    summary = timing.summarize([run.event_s for run in timed.baseline], own)
    bounds = bench.manifest.score
    score = bounded(bench.verifier.score(instance, summary.speedup), bounds.low, bounds.high)
    metrics = {**vars(summary), "floor_ms": floor_s * 1e3, "rounds": float(len(own))}
    speeds = [float(clock["sm_mhz"]) for clock in timed.clocks if "sm_mhz" in clock]
    if speeds:
        metrics |= {"sm_mhz_low": min(speeds), "sm_mhz_high": max(speeds)}
    reasons = [int(clock["throttle_reasons"]) for clock in timed.clocks if "throttle_reasons" in clock]
    if reasons:
        metrics["throttled_rounds"] = float(sum(map(cuda_timing.throttled, reasons)))
    return Evaluation(outcome="ok", score=score, metrics=metrics)


@contextmanager
def _ours() -> Iterator[None]:
    """The baseline is trusted: where it fails, the machine or the task is broken, not a candidate."""
    try:
        yield
    except CandidateFailedError as failure:
        raise BoxError(f"the baseline failed ({failure.outcome}): {failure.detail}") from failure


@contextmanager
def _canary_after(bench: CudaBench, pci: str) -> Iterator[None]:
    """A candidate that crashed or hung may have left the GPU faulty: then it goes into quarantine."""
    try:
        yield
    except CandidateFailedError as failure:
        if failure.outcome in ("crashed", "timeout"):
            require_canary(bench, pci, failure.detail)
        raise


def require_canary(bench: CudaBench, pci: str, after: str) -> None:
    """Raises BoxError, and writes a quarantine, unless our own kernel runs and is right."""
    tries: list[bool] = []
    while (state := cuda_timing.health(tries)) == "again":
        tries.append(canary_passes(bench.canary))
    if state == "faulty":
        raise cuda_health.quarantine(bench.folder, pci, f"the canary failed after: {after[:200]}")


def canary_passes(cubin: Path) -> bool:
    numbers = np.random.default_rng().integers(0, 1 << 20, CANARY_INTS, dtype=np.int32)
    inputs: Arrays = {"a": numbers}
    launch = Launch(
        kernel="canary",
        grid=(CANARY_INTS // 256, 1, 1),
        block=(256, 1, 1),
        shared_bytes=0,
        args=("a", "out", {"i32": CANARY_INTS}),
    )
    try:
        with Arena(inputs, {"out": (CANARY_INTS,)}) as arena, CudaKernel() as kernel:
            kernel.load(cubin, arena, {"a": numbers.nbytes}, {}, [launch])
            arena.fill(inputs)
            kernel.run(CANARY_S)
            return bool((arena.outputs()["out"].view(np.int32) == 3 * numbers + 1).all())
    except Exception:  # whatever the reason, the canary failed
        return False

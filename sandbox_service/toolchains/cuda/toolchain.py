"""Toolchain "cuda": a candidate is device code in CUDA C++, scored by its speed-up over the task's baseline.

nvcc compiles it to a cubin in the box; on a GPU the trusted side launches, checks and times it
(cuda_block.py). Without one it still compiles, is run on the CPU for its answer where it is plain enough, and
ends "not_timed".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox_service.toolchains.cuda import ptxas
from sandbox_service.toolchains.cuda.compiler import Cubin, CudaCompiler
from sandbox_service.toolchains.cuda.launch import Launch
from sandbox_service.toolchains.cuda.source import launch_meta, source_fault
from sandbox_service.toolchains.cuda.standin import standin_text, untimed
from sandbox_service.verify.process import VerifierProcess
from shared.box.open import open_box
from shared.errors import VerifierError
from shared.messages.records import Check, Evaluation, JsonObject, Outcome

BLOCK_TIMEOUT_S = 1800.0  # large shapes take long to make, copy and compare
DETAIL_CHARS = 1500


@dataclass
class Entry:
    """A candidate on its way: what it was compiled to, or why it ends here."""

    source: str
    meta: JsonObject = field(default_factory=dict)
    made: Cubin | None = None
    ended: Evaluation | None = None

    def end(self, outcome: Outcome, low: float, detail: str) -> None:
        self.ended = Evaluation(outcome=outcome, score=low, detail=detail[:DETAIL_CHARS])


def evaluate(
    verifier: VerifierProcess,
    check: Check,
    blocks: Sequence[tuple[JsonObject, Sequence[str]]],
    folder: Path,
) -> Iterator[list[Evaluation]]:
    """Evaluations of each block's candidates, block by block. The same candidate twice is timed twice."""
    settings = verifier.ask("cuda")
    compiler = CudaCompiler(open_box(), folder, arch=settings["arch"])
    canary = compiler.canary()
    low = verifier.task.manifest.score.low
    for instance, contents in blocks:
        baseline = Entry(str(verifier.ask("baseline", instance=instance)))
        entries = [Entry(content) for content in contents]
        _compile([baseline, *entries], compiler, settings["flags"], low)
        for entry in (baseline, *entries):
            _plan(entry, verifier, instance, low)
        if baseline.ended is not None:
            raise VerifierError(
                f"the baseline is no candidate: {baseline.ended.detail}", "run `ratchet validate`"
            )
        waiting = [entry for entry in entries if entry.ended is None]
        if waiting:
            _run([baseline, *waiting], verifier, compiler, instance, check, canary)
        yield [_with_figures(entry) for entry in entries]


def _compile(entries: Sequence[Entry], compiler: CudaCompiler, flags: Sequence[str], low: float) -> None:
    for entry in entries:
        fault = source_fault(entry.source)
        try:
            entry.meta = {} if fault else launch_meta(entry.source)
        except ValueError as error:
            fault = str(error)
        if fault:
            entry.end("refused", low, fault)
    waiting = [entry for entry in entries if entry.ended is None]
    made = compiler.cubins([entry.source for entry in waiting], flags)
    for entry in waiting:
        entry.made = made[entry.source]
        if entry.made.path is None:
            entry.end("compile_error", low, entry.made.error)


def _plan(entry: Entry, verifier: VerifierProcess, instance: JsonObject, low: float) -> None:
    """End the candidate if its geometry is out of bounds, or if a kernel that it needs is missing."""
    if entry.ended is not None or entry.made is None:
        return
    for small in (False, True):
        reply = verifier.ask("cuda_plan", instance=instance, meta=entry.meta, small=small)
        if "fault" in reply:
            entry.end("refused", low, f"launch geometry: {reply['fault']}")
            return
    missing = {launch["kernel"] for launch in reply["launches"]} - set(entry.made.kernels)
    if missing:
        named = ", ".join(entry.made.kernels) or "none"
        wanted = f'no kernel named {", ".join(sorted(missing))} (extern "C" __global__); found: {named}'
        entry.end("compile_error", low, wanted)


def _run(
    entries: Sequence[Entry],
    verifier: VerifierProcess,
    compiler: CudaCompiler,
    instance: JsonObject,
    check: Check,
    canary: Path,
) -> None:
    """On the GPU; on the CPU, for correctness alone, where there is none. The first entry is the baseline."""
    programs = [(str(entry.made.needed("baseline")), entry.meta) for entry in entries if entry.made]
    reply = verifier.ask(
        "cuda_block",
        BLOCK_TIMEOUT_S,
        instance=instance,
        check=check,
        programs=programs,
        canary=str(canary),
        folder=str(canary.parent.parent / "quarantine"),
    )
    if "absent" not in reply:
        for entry, fields in zip(entries[1:], reply["evaluations"], strict=True):
            entry.ended = Evaluation.model_validate(fields)
        return
    for entry in entries[1:]:
        entry.ended = _on_cpu(entry, verifier, compiler, instance)


def _on_cpu(
    entry: Entry, verifier: VerifierProcess, compiler: CudaCompiler, instance: JsonObject
) -> Evaluation:
    reply = verifier.ask("cuda_plan", instance=instance, meta=entry.meta, small=True)
    launches = [Launch.model_validate(launch) for launch in reply["launches"]]
    text = standin_text(entry.source, launches, reply["inputs"], reply["outputs"], reply["scratch"])
    library = compiler.standin(text)
    if library.path is None:
        why = library.error.strip().splitlines()[0][:200]
        low = verifier.task.manifest.score.low
        return untimed(low, f"not plain enough for the CPU stand-in, so its correctness is not known: {why}")
    (fields,) = verifier.ask(
        "cuda_standin",
        instance=reply["instance"],
        driver=str(compiler.driver()),
        libraries=[str(library.path)],
    )
    return Evaluation.model_validate(fields)


def _with_figures(entry: Entry) -> Evaluation:
    """The evaluation, with ptxas' figures beside it: they explain why a kernel is slow."""
    assert entry.ended is not None
    if entry.made is None or entry.made.path is None:
        return entry.ended
    known = entry.ended
    detail = f"{known.detail}\n{ptxas.as_text(entry.made.kernels)}".strip()[:DETAIL_CHARS]
    metrics = {**known.metrics, **ptxas.as_metrics(entry.made.kernels)}
    return known.model_copy(update={"detail": detail, "metrics": metrics})

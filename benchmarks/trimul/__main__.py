"""`ratchet bench trimul`: on the same cores and threads, side by side in one run, the naive C program,
schedules set by hand, a run's best program (found by timing its best ones again) or a given one, torch eager
and torch.compile, with the relative RMS error of each; and, with --search, a run's loop against random search
and Optuna at equal evaluations.

    python -m benchmarks.trimul [--run RUN | --program FILE] [--sizes 128,256] [--search 96] [--out FILE]

Programs are loaded here without a box: give it only what a run has verified.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.trimul.fma_peak import peak_flops, shares, trimul_flops
from benchmarks.trimul.kernels import (
    Array,
    Arrays,
    Kernel,
    build,
    interleaved,
    ratio,
    stage_seconds,
    torch_kernels,
)
from benchmarks.trimul.programs import BY_HAND, CHANNELS, TriMul, of_run, retimed, shape_of
from benchmarks.trimul.search import compare
from ratchet.compare.samplers import Point
from sandbox_service.evaluate import Evaluator
from shared.machine import machine_and_date
from shared.messages.records import Block, CandidateBatch, JsonObject
from shared.store.store import LocalStore

IN_HALF = ("torch_compile_float16", "torch_compile_bfloat16")
NAIVE_ROUNDS = 3  # it takes seconds at N = 256


def side_by_side(
    trimul: TriMul, n: int, program: str | None, rounds: int, peak: float, folder: Path
) -> JsonObject:
    """One size: medians in ms, relative RMS errors, how many times faster our C programs are than each other
    one, and how far each is from what the cores' vector units can do at most in float32."""
    instance = shape_of(n)
    inputs: Arrays = trimul.verifier.make_inputs(instance, np.random.default_rng(0))
    sources = {"naive": trimul.verifier.baseline(instance)}
    sources |= {name: trimul.render(schedule, instance) for name, schedule in BY_HAND.items()}
    if program is not None:
        sources["program"] = program
    libraries = {name: folder / f"{name}-{n}.so" for name in sources}
    kernels = {name: build(sources[name], trimul.verifier.FLAGS, libraries[name]) for name in sources}
    kernels |= torch_kernels(trimul.task.manifest.attempt.threads)
    expected = trimul.verifier.expected(instance, inputs)
    errors = {}
    for name, kernel in kernels.items():  # warms up as well, and lets torch compile
        got = {"out": kernel(inputs)}
        errors[name] = relative_rms(got["out"], expected["out"])
        wrong = trimul.verifier.check(instance, expected, got)
        if wrong and name not in IN_HALF:  # whose errors are reported and not bounded
            raise SystemExit(f"{name} is wrong at N={n}: {wrong}")
    counts = {name: min(NAIVE_ROUNDS, rounds) if name == "naive" else rounds for name in kernels}
    times = interleaved(kernels, inputs, counts)
    ours = [name for name in sources if name != "naive"]
    theirs = [name for name in kernels if name not in ours]
    median_ms = {name: round(median(found.wall_s) * 1e3, 2) for name, found in times.items()}
    threads = trimul.task.manifest.attempt.threads
    processor_ms = {
        name: round(median(found.processor_s) * 1e3 / threads, 2) for name, found in times.items()
    }
    return {
        "N": n,
        "C": CHANNELS,
        "peak_gflops": round(peak / 1e9, 1),
        "heads": {name: sources[name].partition("\n")[0] for name in ours},  # a rendered program's schedule
        "median_ms": median_ms,
        "processor_ms_a_thread": processor_ms,
        "relative_rms": errors,
        "speedup_vs": {
            name: {other: round(ratio(times[other].wall_s, times[name].wall_s), 2) for other in theirs}
            for name in ours
        },
        "speedup_in_processor_time": {
            name: {
                other: round(ratio(times[other].processor_s, times[name].processor_s), 2) for other in theirs
            }
            for name in ours
        },
        "stages": {
            name: of_stages(trimul, instance, inputs, kernels[name], libraries[name], peak) for name in ours
        },
        **shares(processor_ms, trimul_flops(n, CHANNELS, trimul.verifier.H), peak),
    }


def of_stages(
    trimul: TriMul, instance: JsonObject, inputs: Arrays, kernel: Kernel, library: Path, peak: float
) -> dict[str, float]:
    """Which share of the peak a program reaches in each stage, as the sandbox tells it of a candidate."""
    stages_s = stage_seconds(library, kernel, inputs)
    if stages_s is None:
        return {}
    told = {"told": np.array([*stages_s, peak / 1e9])}
    found: dict[str, float] = trimul.verifier.measures(instance, told, told)
    return {name: round(value, 3) for name, value in found.items() if name.startswith("peak_share_")}


def relative_rms(got: Array, expected: Array) -> float:
    return float(f"{np.sqrt(((got - expected) ** 2).mean() / (expected**2).mean()):.2g}")


def search(
    trimul: TriMul, evaluations: int, seed: int, met: Sequence[tuple[JsonObject, float]]
) -> JsonObject:
    """Random search and Optuna through the sandbox, on the instances that the loop met (`met`, with what its
    candidates scored there), in the loop's order; on fresh train instances where there was no loop."""
    count = min(evaluations, len(met)) or evaluations
    drawn = [instance for instance, _ in met[:count]] or trimul.verifier.draw("train", count, seed)
    with tempfile.TemporaryDirectory(prefix="ratchet-bench-") as scratch:
        evaluator = Evaluator(LocalStore(Path(scratch) / "store"), Path(scratch) / "cache")

        def evaluate(schedule: Point, number: int) -> float:
            block = Block(instance=drawn[number], entries=(("", trimul.render(schedule, drawn[number])),))
            batch = CandidateBatch(task=str(trimul.task.folder), check="public", fresh=True, blocks=(block,))
            return evaluator.evaluate(batch).blocks[0][0].score

        try:
            return compare(trimul.scaffold.SPACE, evaluate, count, seed, [score for _, score in met[:count]])
        finally:
            evaluator.close()


def main(arguments: Sequence[str]) -> JsonObject:
    parser = argparse.ArgumentParser(prog="ratchet bench trimul")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--run", help="take the best program and the loop's curve from this run")
    source.add_argument("--program", type=Path, help="a C program that suits every size, or was a schedule")
    parser.add_argument("--sizes", default="128,256", help="N; C is 128")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--search", type=int, default=0, help="evaluations of each search method")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="also write the result there")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # two thread pools share the cores: none may spin
    trimul = TriMul()
    ranked, met = of_run(options.run) if options.run else ([], [])
    if options.program:
        ranked = [options.program.read_text(encoding="utf-8")]
    threads = trimul.task.manifest.attempt.threads
    result: JsonObject = {
        **machine_and_date(),
        "threads": threads,
        "sizes": [],
    }
    with tempfile.TemporaryDirectory(prefix="ratchet-bench-") as scratch:
        peak = peak_flops(trimul.verifier.FLAGS, threads, Path(scratch))
        for n in [int(size) for size in options.sizes.split(",") if size]:
            program = retimed(trimul, ranked, n, Path(scratch)) if ranked else None
            result["sizes"].append(side_by_side(trimul, n, program, options.rounds, peak, Path(scratch)))
    if options.search:
        result["search"] = search(trimul, options.search, options.seed, met)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


if __name__ == "__main__":
    json.dump(main(sys.argv[1:]), sys.stdout, indent=1)

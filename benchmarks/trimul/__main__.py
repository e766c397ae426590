"""`ratchet bench trimul`: on the same cores and threads, side by side in one run, the naive C program, a
schedule set by hand, a run's best program (found by timing its best ones again) or a given one, torch eager
and torch.compile; and, with --search, a run's loop against random search and Optuna at equal evaluations.

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
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks._machine import describe_machine
from benchmarks.trimul.fma_peak import peak_flops, shares, trimul_flops
from benchmarks.trimul.kernels import Arrays, build, interleaved, ratio, torch_kernels
from benchmarks.trimul.programs import CHANNELS, HAND, TriMul, of_run, retimed, shape_of
from benchmarks.trimul.search import Schedule, compare
from sandbox_service.evaluate import Evaluator
from shared.messages.records import Block, CandidateBatch, JsonObject
from shared.store.store import LocalStore

NAIVE_ROUNDS = 3  # it takes seconds at N = 256


def side_by_side(
    trimul: TriMul, n: int, program: str | None, rounds: int, peak: float, folder: Path
) -> JsonObject:
    """One size: medians in ms, how many times faster our best C program is than each other one, and how far
    each is from what the cores can do at most."""
    instance = shape_of(n)
    inputs: Arrays = trimul.verifier.make_inputs(instance, np.random.default_rng(0))
    sources = {"naive": trimul.verifier.baseline(instance), "hand": trimul.render(HAND, instance)}
    if program is not None:
        sources["program"] = program
    kernels = {
        name: build(source, trimul.verifier.FLAGS, folder / f"{name}-{n}.so")
        for name, source in sources.items()
    }
    kernels |= torch_kernels(trimul.task.manifest.attempt.threads)
    expected = trimul.verifier.expected(instance, inputs)
    for name, kernel in kernels.items():  # warms up as well, and lets torch compile
        if wrong := trimul.verifier.check(instance, expected, {"out": kernel(inputs)}):
            raise SystemExit(f"{name} is wrong at N={n}: {wrong}")
    counts = {name: min(NAIVE_ROUNDS, rounds) if name == "naive" else rounds for name in kernels}
    times_s = interleaved(kernels, inputs, counts)
    ours = "hand" if program is None else "program"
    median_ms = {name: round(median(found) * 1e3, 2) for name, found in times_s.items()}
    return {
        "N": n,
        "C": CHANNELS,
        "ours": ours,
        "head": sources[ours].partition("\n")[0],  # a rendered program's schedule
        "median_ms": median_ms,
        "speedup_vs": {
            name: round(ratio(times_s[name], times_s[ours]), 2) for name in kernels if name != ours
        },
        **shares(median_ms, trimul_flops(n, CHANNELS, trimul.verifier.H), peak),
    }


def search(
    trimul: TriMul, evaluations: int, seed: int, met: Sequence[tuple[JsonObject, float]]
) -> JsonObject:
    """Random search and Optuna through the sandbox, on the instances that the loop met (`met`, with what its
    candidates scored there), in the loop's order; on fresh train instances where there was no loop."""
    count = min(evaluations, len(met)) or evaluations
    drawn = [instance for instance, _ in met[:count]] or trimul.verifier.draw("train", count, seed)
    with tempfile.TemporaryDirectory(prefix="ratchet-bench-") as scratch:
        evaluator = Evaluator(LocalStore(Path(scratch) / "store"), Path(scratch) / "cache")

        def evaluate(schedule: Schedule, number: int) -> float:
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
        "machine": describe_machine(),
        "date": datetime.now(UTC).date().isoformat(),
        "threads": threads,
        "sizes": [],
    }
    with tempfile.TemporaryDirectory(prefix="ratchet-bench-") as scratch:
        peak = peak_flops(trimul.verifier.FLAGS, threads, Path(scratch))
        result["peak_gflops"] = round(peak / 1e9, 1)
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

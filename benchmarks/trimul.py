"""`ratchet bench trimul`: on the same cores and threads, side by side in one run, the naive C program, a
schedule set by hand, the best program of a run (or a given one), torch eager and torch.compile; and, with
--search, a run's loop against random search and Optuna at equal evaluations.

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

from benchmarks._fma_peak import peak_flops, shares, trimul_flops
from benchmarks._kernels import Arrays, build, interleaved, ratio, torch_kernels
from benchmarks._machine import describe_machine
from benchmarks._module import load_module
from benchmarks._search import Schedule, compare
from ratchet import findings, runs
from sandbox_service.evaluate import Evaluator
from shared.draw_program import load_verifier
from shared.history import fold
from shared.records import Block, CandidateBatch, JsonObject, ShardState
from shared.store import LocalStore, get_record
from shared.task import load_task

CHANNELS = 128
NAIVE_ROUNDS = 3  # it takes seconds at N = 256
# The best that we found by hand, by measuring. Neither the seed harness nor its corpus holds it.
HAND: Schedule = {
    **{"vec": 16, "rows": 8, "cols": 2, "layout": "both_t", "lanes": "positions", "block": 64},
    **{"norm": "once", "gates": "fused", "out": "fused", "exp": "fast", "threads": 2},
}


class TriMul:
    """The task's own parts, loaded from its folder."""

    def __init__(self) -> None:
        self.task = load_task("trimul")
        self.verifier = load_verifier(self.task.folder)
        self.scaffold = load_module(self.task.folder / "harness" / "scaffold.py")
        self.kernel = (self.task.folder / "harness" / "prompts" / "kernel.md").read_text(encoding="utf-8")

    def render(self, schedule: Schedule, instance: JsonObject) -> str:
        return str(self.scaffold.render(schedule, instance, self.kernel))

    def fitted(self, program: str, instance: JsonObject) -> str:
        """A program for that shape: rendered anew where its first line names the schedule behind it."""
        schedule = self.scaffold.parse(program.partition("\n")[0])
        return program if schedule is None else self.render(schedule, instance)


def side_by_side(
    trimul: TriMul, n: int, program: str | None, rounds: int, peak: float, folder: Path
) -> JsonObject:
    """One size: medians in ms, how many times faster our best C program is than each other one, and how far
    each is from what the cores can do at most."""
    instance = {"B": 1, "N": n, "C": CHANNELS, "mask": "random", "distribution": "normal", "seed": 0}
    inputs: Arrays = trimul.verifier.make_inputs(instance, np.random.default_rng(0))
    sources = {"naive": trimul.verifier.baseline(instance), "hand": trimul.render(HAND, instance)}
    if program is not None:
        sources["program"] = trimul.fitted(program, instance)
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


def of_run(name: str) -> tuple[str | None, list[tuple[JsonObject, float]]]:
    """A run's best train program, and (instance, score) of all its train candidates in order."""
    folder = runs.find(name)
    history = fold(folder.open_ledger().events(folder.run_id))
    store = folder.open_store()
    best = findings.read(history, store).best
    met = [
        (attempt.plan.instance, evaluation.score)
        for generation in history.generations
        for (purpose, _), rollout in sorted(generation.rollouts.items())
        if purpose == "train"
        for digest in rollout.results
        for attempt in get_record(store, digest, ShardState).attempts
        for _, evaluation in attempt.tried
    ]
    return best.candidate.content if best else None, met


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
    program, met = of_run(options.run) if options.run else (None, [])
    if options.program:
        program = options.program.read_text(encoding="utf-8")
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
            result["sizes"].append(side_by_side(trimul, n, program, options.rounds, peak, Path(scratch)))
    if options.search:
        result["search"] = search(trimul, options.search, options.seed, met)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


if __name__ == "__main__":
    json.dump(main(sys.argv[1:]), sys.stdout, indent=1)

"""TriMul's C programs for a benchmark: rendered from schedules or taken from a run, whose best one is found
by timing again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks._module import load_module
from benchmarks.trimul.kernels import Arrays, build, interleaved
from ratchet.compare.samplers import Point
from ratchet.runs import findings
from ratchet.runs import folder as runs
from shared.ledger.history.folding import fold
from shared.messages.records import JsonObject
from shared.store.shards import get_shard
from shared.tasks.draw_program import load_verifier
from shared.tasks.task import load_task

CHANNELS = 128
# The best that we found by hand, by measuring, for each way to multiply. Neither the seed harness nor its
# corpus holds them. The way is part of a program's name: none is taken for another.
HAND: Point = {
    **{"products": "float32", "vec": 16, "rows": 4, "cols": 2, "prows": 8, "pcols": 2, "pair": "together"},
    **{"weights": "packed", "block": 64, "norm": "transposed", "outgate": "early", "sigmoid": "newton"},
    **{"stores": "streaming", "prefetch": "next", "pages": "huge", "threads": 2},
}
BY_HAND: dict[str, Point] = {
    "hand": HAND,
    "hand_bf16x3": {**HAND, "products": "bf16x3"},
    "hand_bf16x2": {**HAND, "products": "bf16x2"},
}
FINALISTS = 16  # of a run's programs, by their train scores
FINAL_ROUNDS = 5


def shape_of(n: int) -> JsonObject:
    return {"B": 1, "N": n, "C": CHANNELS, "mask": "random", "distribution": "normal", "seed": 0}


class TriMul:
    """The task's own parts, loaded from its folder."""

    def __init__(self) -> None:
        self.task = load_task("trimul")
        self.verifier = load_verifier(self.task.folder)
        self.scaffold = load_module(self.task.folder / "harness" / "scaffold.py")
        self.kernel = (self.task.folder / "harness" / "prompts" / "kernel.md").read_text(encoding="utf-8")

    def render(self, schedule: Point, instance: JsonObject) -> str:
        return str(self.scaffold.render(schedule, instance, self.kernel))

    def fitted(self, program: str, instance: JsonObject) -> str:
        """A program for that shape: rendered anew where its first line names the schedule behind it."""
        schedule = self.scaffold.parse(program.partition("\n")[0])
        return program if schedule is None else self.render(schedule, instance)


def of_run(name: str) -> tuple[list[str], list[tuple[JsonObject, float]]]:
    """A run's train programs, those of the best scores first; and (instance, score) of all its train
    candidates in order."""
    folder = runs.find(name)
    history = fold(folder.open_ledger().events(folder.run_id))
    store = folder.open_store()
    met = [
        (attempt.plan.instance, evaluation.score)
        for generation in history.generations
        for (purpose, _), rollout in sorted(generation.rollouts.items())
        if purpose == "train"
        for digest in rollout.results
        for attempt in get_shard(store, digest).attempts
        for _, evaluation in attempt.tried or findings.answered(attempt)
    ]
    return findings.best_contents(history, store, len(met)), met


def retimed(trimul: TriMul, ranked: Sequence[str], n: int, folder: Path) -> str:
    """The fastest of a run's first FINALISTS distinct programs at that size. A train score is one noisy look,
    at another shape; what is compared afterwards is timed anew."""
    shape = shape_of(n)
    sources = list(dict.fromkeys(trimul.fitted(program, shape) for program in ranked))[:FINALISTS]
    kernels = {
        source: build(source, trimul.verifier.FLAGS, folder / f"finalist-{n}-{number}.so")
        for number, source in enumerate(sources)
    }
    inputs: Arrays = trimul.verifier.make_inputs(shape, np.random.default_rng())
    for kernel in kernels.values():  # the first call also gets its pages
        kernel(inputs)
    times = interleaved(kernels, inputs, dict.fromkeys(kernels, FINAL_ROUNDS))
    return min(times, key=lambda source: median(times[source].wall_s))

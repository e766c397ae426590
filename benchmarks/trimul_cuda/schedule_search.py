"""Random schedules of TriMul's kernels on shapes of no split: the best of each kernel, put together."""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from benchmarks.trimul_cuda.programs import HAND, Task, TorchProcess, microseconds, shape_of
from shared.errors import BoxError
from shared.messages.records import JsonObject

SEARCHED = ((1, 1280, 128, "normal"), (1, 1280, 384, "cauchy"))  # in no split
BATCH = 8  # schedules that are measured together
SEARCH_KEEP = 0.4  # of the knobs, on average, as they are by hand
# Which knobs are whose: the kernels do not touch each other's, so that the best of each may be put together.
KNOBS = {
    "project": ("positions", "ring", "cluster", "prefetch", "sigmoid"),
    "product": ("tile_j", "product_ring", "product_blocks"),
    "finish": ("finish_groups", "finish_depth", "finish_blocks"),
}


def search(task: Task, gpu: TorchProcess, count: int, seed: int) -> JsonObject:
    """Schedules drawn around the one set by hand, on shapes of no split. By number of channels."""
    result: JsonObject = {}
    rng = random.Random(seed)
    for spec in SEARCHED:
        shape = shape_of(*spec)
        schedules = [HAND, *(task.scaffold.draw(rng, HAND, SEARCH_KEEP) for _ in range(count))]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            made = list(pool.map(lambda item, shape=shape: _made(task, item, shape), enumerate(schedules)))
        programs = {str(number): program for number, program in enumerate(made) if program is not None}
        found: JsonObject = {}
        for first in range(0, len(programs), BATCH):  # what hangs takes no more than its batch with it
            batch = dict(list(programs.items())[first : first + BATCH])
            reply = gpu.ask(
                "measure",
                shape=shape,
                scratch=task.verifier.scratch(shape),
                programs=batch,
                torch_names=[],
                rounds=2,
                once=[],
                seed=seed,
            )
            found |= {name: {"fault": reply["error"]} for name in batch} if "error" in reply else reply
            print(f"searched {first + len(batch)} of {len(programs)}", file=sys.stderr, flush=True)
        result[str(shape["C"])] = {"shape": shape, **_trials(schedules, programs, found)}
    return result


def _made(task: Task, item: tuple[int, JsonObject], shape: JsonObject) -> JsonObject | None:
    """None where ptxas can't fit it into the registers that its blocks leave."""
    number, schedule = item
    try:
        return task.program(task.source(schedule, shape), shape, f"search-{number}")
    except BoxError:
        return None


def _trials(schedules: Sequence[JsonObject], programs: JsonObject, found: JsonObject) -> JsonObject:
    trials = []
    for number, schedule in enumerate(schedules):
        trial: JsonObject = {"schedule": schedule}
        reply = found.get(str(number), {"fault": "does not compile"})
        if "fault" in reply:
            trial["fault"] = reply["fault"]
        else:
            names = [launch["kernel"] for launch in programs[str(number)]["launches"]]
            apart = map(min, zip(*reply["kernels_s"], strict=True))
            trial |= {"us": microseconds(min(reply["event_s"]))}
            trial["kernels_us"] = dict(zip(names, map(microseconds, apart), strict=True))
        trials.append(trial)
    right = [trial for trial in trials if "us" in trial]
    best = min(right, key=lambda trial: float(trial["us"]), default=None)
    combined = dict(best["schedule"]) if best else HAND
    for kernel, knobs in KNOBS.items():
        first = _fastest(right, kernel)
        combined |= {knob: first["schedule"][knob] for knob in knobs} if first else {}
    return {"tried": len(trials), "right": len(right), "best": best, "combined": combined, "trials": trials}


def _fastest(trials: Sequence[JsonObject], kernel: str) -> JsonObject | None:
    return min(trials, key=lambda trial: float(trial["kernels_us"][kernel]), default=None)

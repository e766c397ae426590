"""`ratchet bench trimul_cuda`: on one GPU in one run, at the shapes of the public benchmark with real masks,
a schedule's kernels, the naive ones, torch eager and torch.compile, beside two floors: of the device (all
products at full rate, or x and `out` moved once), and of the fused layout in three kernels.

    python -m benchmarks.trimul_cuda [--torch-python PATH] [--rounds 5] [--search 24] [--out FILE]

torch may live in another interpreter: --torch-python names it. Every output of every run is checked against
float64. The search is on shapes that are in no split, and what it finds is what is measured. Programs run
without a box: give it only what is trusted.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.trimul_cuda.programs import (
    HAND,
    Task,
    TorchProcess,
    fused_floor_s,
    microseconds,
    programs_of,
    shape_of,
)
from benchmarks.trimul_cuda.schedule_search import search
from sandbox_service.toolchains.cuda.timing import clock_fault
from shared.machine import describe_machine
from shared.messages.records import JsonObject

TORCH = ["torch_eager", "torch_compile", "torch_compile_half"]
SLOW = ["naive"]  # measured once a shape


def measure_shape(
    task: Task,
    gpu: TorchProcess,
    device: str,
    shape: JsonObject,
    schedule: JsonObject,
    programs: JsonObject,
    options: Any,
) -> JsonObject:
    torch_names = [] if options.no_torch else TORCH
    found = gpu.ask(
        "measure",
        shape=shape,
        scratch=task.verifier.scratch(shape),
        programs=programs,
        torch_names=torch_names,
        rounds=options.rounds,
        once=SLOW,
        seed=random.SystemRandom().randrange(1 << 31),
    )
    ideal_s, fused_s = task.verifier.floor_s(shape, device), fused_floor_s(task.verifier, shape, device)
    result: JsonObject = {
        **shape,
        "schedule": schedule,
        "floor_us": microseconds(ideal_s),
        "fused_floor_us": microseconds(fused_s),
    }
    if "error" in found:
        return {**result, "error": found["error"]}
    result["programs"] = {name: _summary(measured, fused_s) for name, measured in found.items()}
    kernels = zip(programs["ours"]["launches"], zip(*found["ours"]["kernels_s"], strict=True), strict=True)
    result["kernels_us"] = {launch["kernel"]: microseconds(median(times)) for launch, times in kernels}
    return result


def _summary(measured: JsonObject, fused_s: float) -> JsonObject:
    if "fault" in measured:
        return {"fault": measured["fault"], "rms": max(measured["rms"])}
    faults = [
        clock_fault(event, wall, wall)
        for event, wall in zip(measured["event_s"], measured["wall_s"], strict=True)
    ]
    middle = median(measured["event_s"])
    return {
        "us": microseconds(middle),
        "mean_us": microseconds(sum(measured["event_s"]) / len(measured["event_s"])),
        "runs_us": [microseconds(time_s) for time_s in measured["event_s"]],
        "times_fused_floor": round(middle / fused_s, 3),
        "rms": max(measured["rms"]),
        "clock_faults": [fault for fault in faults if fault],
    }


def geometric_means(shapes: Sequence[JsonObject]) -> JsonObject:
    names = list(shapes[0].get("programs", {})) if shapes else []
    whole = [
        name for name in names if all("us" in shape.get("programs", {}).get(name, {}) for shape in shapes)
    ]
    means = {name: _mean(shape["programs"][name]["us"] for shape in shapes) for name in whole}
    means |= (
        {key: _mean(shape[key] for shape in shapes) for key in ("floor_us", "fused_floor_us")}
        if shapes
        else {}
    )
    if "ours" in means:
        means |= {
            f"ours_times_{key[:-3]}": round(means["ours"] / means[key], 3)
            for key in ("floor_us", "fused_floor_us")
        }
    return means


def _mean(values: Any) -> float:
    logs = [math.log(value) for value in values]
    return round(math.exp(sum(logs) / len(logs)), 1)


def table(result: JsonObject) -> str:
    lines = [f"{'B,N,C':>12} {'floor':>7} {'fused':>7} {'ours':>8} {'x fused':>7}  others (us)  [kernels]"]
    for shape in result["shapes"]:
        name = f"{shape['B']},{shape['N']},{shape['C']}"
        if "error" in shape:
            lines.append(f"{name:>12} {shape['error'][:160]}")
            continue
        ours, *others = (
            (key, measured.get("us", measured.get("fault", "?")))
            for key, measured in shape["programs"].items()
        )
        own = shape["programs"]["ours"]
        ratio = own.get("times_fused_floor", 0)
        beside = " ".join(f"{key}={value}" for key, value in others)
        lines.append(
            f"{name:>12} {shape['floor_us']:7.0f} {shape['fused_floor_us']:7.0f} {ours[1]!s:>8} "
            f"{ratio:7.2f}  {beside}  {list(shape['kernels_us'].values())} rms={own['rms']:.1e}"
        )
    return "\n".join([*lines, f"geometric means: {json.dumps(result['geometric_means'])}"])


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ratchet bench trimul_cuda")
    parser.add_argument("--torch-python", default=sys.executable, help="an interpreter that has torch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--shapes", help="numbers of the benchmark's shapes, from 0: all of them if left out")
    parser.add_argument("--search", type=int, default=0, help="random schedules for each searched shape")
    parser.add_argument("--schedules", type=Path, help="JSON: a schedule for each number of channels")
    parser.add_argument(
        "--reply-s", type=float, default=120.0, help="most that a shape, or some trials, may take"
    )
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument("--no-naive", action="store_true")
    parser.add_argument("--out", type=Path, help="also write the result there")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> JsonObject:
    options = options_of(arguments)
    schedules = json.loads(options.schedules.read_text(encoding="utf-8")) if options.schedules else {}
    with (
        tempfile.TemporaryDirectory(prefix="ratchet-bench-") as scratch,
        TorchProcess(options.torch_python, options.reply_s) as gpu,
    ):
        task = Task(Path(scratch))
        device = gpu.ask("device")
        if "error" in device:
            raise SystemExit(
                f"no benchmark without a GPU and torch in {options.torch_python}: {device['error']}"
            )
        result: JsonObject = {
            "machine": describe_machine(),
            "device": device,
            "ceilings": gpu.ask("ceilings"),
            "date": datetime.now(UTC).date().isoformat(),
        }
        if options.search:
            result["search"] = search(task, gpu, options.search, 0)
            schedules |= {
                channels: found["combined"]
                for channels, found in result["search"].items()
                if "combined" in found
            }
        specs = task.verifier.TEST
        numbers = [int(text) for text in options.shapes.split(",")] if options.shapes else range(len(specs))
        shapes = [shape_of(*specs[number]) for number in numbers]
        chosen = [schedules.get(str(shape["C"]), HAND) for shape in shapes]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            made = pool.map(
                lambda shape, schedule: programs_of(task, shape, schedule, naive=not options.no_naive),
                shapes,
                chosen,
            )
        result["shapes"] = []
        for shape, schedule, programs in zip(shapes, chosen, made, strict=True):
            measured = measure_shape(task, gpu, device["name"], shape, schedule, programs, options)
            result["shapes"].append(measured)
            print(
                table({"shapes": [measured], "geometric_means": {}}).splitlines()[1],
                file=sys.stderr,
                flush=True,
            )
            if options.out:  # what is there so far, should the time be cut short
                options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        result["geometric_means"] = geometric_means(result["shapes"])
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


if __name__ == "__main__":
    print(table(main(sys.argv[1:])))

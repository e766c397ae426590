"""`ratchet bench trimul_cuda`: on one GPU in one run, at the shapes of the public benchmark with real masks: a
schedule's kernels, the naive ones, torch eager and torch.compile, beside two floors: of the device (all products at
full rate, or x and `out` moved once), and of the fused layout in three kernels.

    python -m benchmarks.trimul_cuda [--torch-python PATH] [--rounds 5] [--search 24] [--out FILE]

torch may live in another interpreter: --torch-python names it. Every output of every run is checked against float64.
The search is on shapes that are in no split, and what it finds is what is measured. Programs run without a box: give it
only what is trusted.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

from benchmarks._machine import describe_machine
from benchmarks._module import load_module
from sandbox_service.cuda_source import launch_meta
from sandbox_service.cuda_timing import clock_fault
from sandbox_service.toolchains.cuda_compiler import INCLUDE, NVCC_FLAGS, find_nvcc
from shared import children
from shared.draw_program import load_verifier
from shared.errors import BoxError, ToolMissingError
from shared.records import JsonObject
from shared.task import load_task

TORCH = ["torch_eager", "torch_compile", "torch_compile_half"]
SLOW = ["naive"]  # measured once a shape
SEARCHED = ((1, 1280, 128, "normal"), (1, 1280, 384, "cauchy"))  # in no split
BATCH = 8  # schedules that are measured together
SEARCH_KEEP = 0.4  # of the knobs, on average, as they are by hand
# Which knobs are whose: the kernels do not touch each other's, so that the best of each may be put together.
KNOBS = {
    "project": ("positions", "ring", "prefetch", "sigmoid"),
    "product": ("tile_j", "product_ring", "product_blocks"),
    "finish": ("finish_groups", "finish_depth", "finish_blocks"),
}
# Set by hand. The seed harness does not hold it.
HAND: JsonObject = {
    **{"positions": 256, "ring": 20, "prefetch": 1, "sigmoid": "tanh", "tile_j": 256, "product_ring": 4},
    **{"product_blocks": 1, "finish_groups": 3, "finish_depth": 2, "finish_blocks": 1},
}


class Task:
    """The task's own parts, loaded from its folder."""

    def __init__(self, folder: Path) -> None:
        found = find_nvcc()
        if found is None:
            raise ToolMissingError("nvcc is not installed", "install the CUDA toolkit, or put nvcc on PATH")
        task = load_task("trimul_cuda")
        self.nvcc, self._folder = found, folder
        self.verifier = load_verifier(task.folder)
        self.scaffold = load_module(task.folder / "harness" / "scaffold.py")
        self._kernel = (task.folder / "harness" / "prompts" / "kernel.md").read_text(encoding="utf-8")

    def source(self, schedule: JsonObject, shape: JsonObject) -> str:
        return str(self.scaffold.render(schedule, shape, self._kernel))

    def program(self, source: str, shape: JsonObject, name: str) -> JsonObject:
        """Compiled, with its launches at that shape."""
        cubin, text = self._folder / f"{name}.cubin", self._folder / f"{name}.cu"
        text.write_text(source, encoding="utf-8")
        argv = [self.nvcc, f"-arch={self.verifier.ARCH}", *self.verifier.FLAGS, *NVCC_FLAGS, "-I", INCLUDE]
        done = subprocess.run([*argv, text, "-o", cubin], capture_output=True, text=True)
        if done.returncode:
            raise BoxError(f"nvcc: {done.stderr[-800:]}")
        return {"cubin": str(cubin), "launches": self.verifier.launch(shape, launch_meta(source))}


class TorchProcess:
    """benchmarks/_trimul_gpu.py in the interpreter that has torch; a new one after it failed."""

    def __init__(self, python: str, reply_s: float) -> None:
        self._reply_s = reply_s
        self._argv = [python, str(Path(__file__).with_name("_trimul_gpu.py"))]
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, operation: str, **fields: Any) -> JsonObject:
        """Its value; {"error": ...} if CUDA failed or it did not answer."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                preexec_fn=children.die_with_parent,
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write((json.dumps({"operation": operation, **fields}) + "\n").encode())
        data, deadline = b"", time.monotonic() + self._reply_s
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not data.endswith(b"\n"):
                more = b""
                if selector.select(max(0.0, deadline - time.monotonic())):
                    more = os.read(process.stdout.fileno(), 1 << 16)
                if not more:
                    self.close()
                    return {"error": f"{operation}: the process with torch ended, or said nothing in time"}
                data += more
        reply: JsonObject = json.loads(data)
        if "error" in reply:
            self.close()
            return reply
        value: JsonObject = reply["value"]
        return value

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> TorchProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def shape_of(b: int, n: int, c: int, distribution: str) -> JsonObject:
    return {"B": b, "N": n, "C": c, "distribution": distribution}


def fused_floor_s(verifier: Any, shape: JsonObject, device: str) -> float:
    """{LN, projections, gates -> fp16}, {products}, {LN, gate, out}: each bound by products or by traffic."""
    rate, bandwidth = next(
        (found for name, found in verifier.RATES.items() if name in device), verifier.FASTEST_KNOWN
    )
    b, n, c, h = shape["B"], shape["N"], shape["C"], verifier.H
    rows = b * n * n
    parts = (
        (2 * rows * c * 5 * h, rows * (4 * c + 4 + 3 * 2 * h)),
        (2 * b * n**3 * h, rows * 3 * 2 * h),
        (2 * rows * h * c, rows * (2 * 2 * h + 4 * c)),
    )
    return sum(max(work / rate, moved / bandwidth) for work, moved in parts)


def programs_of(task: Task, shape: JsonObject, schedule: JsonObject, *, naive: bool) -> JsonObject:
    name = "-".join(str(shape[key]) for key in "BNC")
    programs = {"ours": task.program(task.source(schedule, shape), shape, f"ours-{name}")}
    if naive:
        programs["naive"] = task.program(task.verifier.baseline(shape), shape, f"naive-{name}")
    return programs


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
        "floor_us": _us(ideal_s),
        "fused_floor_us": _us(fused_s),
    }
    if "error" in found:
        return {**result, "error": found["error"]}
    result["programs"] = {name: _summary(said, fused_s) for name, said in found.items()}
    kernels = zip(programs["ours"]["launches"], zip(*found["ours"]["kernels_s"], strict=True), strict=True)
    result["kernels_us"] = {launch["kernel"]: _us(median(times)) for launch, times in kernels}
    return result


def _summary(said: JsonObject, fused_s: float) -> JsonObject:
    if "fault" in said:
        return {"fault": said["fault"], "rms": max(said["rms"])}
    faults = [
        clock_fault(event, wall, wall) for event, wall in zip(said["event_s"], said["wall_s"], strict=True)
    ]
    middle = median(said["event_s"])
    return {
        "us": _us(middle),
        "mean_us": _us(sum(said["event_s"]) / len(said["event_s"])),
        "runs_us": [_us(time_s) for time_s in said["event_s"]],
        "times_fused_floor": round(middle / fused_s, 3),
        "rms": max(said["rms"]),
        "clock_faults": [fault for fault in faults if fault],
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
            said = gpu.ask(
                "measure",
                shape=shape,
                scratch=task.verifier.scratch(shape),
                programs=batch,
                torch_names=[],
                rounds=2,
                once=[],
                seed=seed,
            )
            found |= dict.fromkeys(batch, {"fault": said["error"]}) if "error" in said else said
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
        said = found.get(str(number), {"fault": "does not compile"})
        if "fault" in said:
            trial["fault"] = said["fault"]
        else:
            names = [launch["kernel"] for launch in programs[str(number)]["launches"]]
            apart = map(min, zip(*said["kernels_s"], strict=True))
            trial |= {"us": _us(min(said["event_s"]))}
            trial["kernels_us"] = dict(zip(names, map(_us, apart), strict=True))
        trials.append(trial)
    right = [trial for trial in trials if "us" in trial]
    best = min(right, key=lambda trial: float(trial["us"]), default=None)
    combined = dict(best["schedule"]) if best else HAND
    for kernel, knobs in KNOBS.items():
        first = min(right, key=lambda trial, kernel=kernel: float(trial["kernels_us"][kernel]), default=None)
        combined |= {knob: first["schedule"][knob] for knob in knobs} if first else {}
    return {"tried": len(trials), "right": len(right), "best": best, "combined": combined, "trials": trials}


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


def _us(seconds: float) -> float:
    return round(seconds * 1e6, 1)


def table(result: JsonObject) -> str:
    lines = [f"{'B,N,C':>12} {'floor':>7} {'fused':>7} {'ours':>8} {'x fused':>7}  others (us)  [kernels]"]
    for shape in result["shapes"]:
        name = f"{shape['B']},{shape['N']},{shape['C']}"
        if "error" in shape:
            lines.append(f"{name:>12} {shape['error'][:160]}")
            continue
        ours, *others = (
            (key, said.get("us", said.get("fault", "?"))) for key, said in shape["programs"].items()
        )
        ratio = shape["programs"]["ours"].get("times_fused_floor", 0)
        beside = " ".join(f"{key}={value}" for key, value in others)
        lines.append(
            f"{name:>12} {shape['floor_us']:7.0f} {shape['fused_floor_us']:7.0f} {ours[1]!s:>8} {ratio:7.2f}  "
            f"{beside}  {list(shape['kernels_us'].values())} rms={shape['programs']['ours']['rms']:.1e}"
        )
    return "\n".join([*lines, f"geometric means: {json.dumps(result['geometric_means'])}"])


def main(arguments: Sequence[str]) -> JsonObject:
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
    options = parser.parse_args(arguments)
    schedules = json.loads(options.schedules.read_text()) if options.schedules else {}
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

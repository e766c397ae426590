"""`ratchet bench sandbox`: the cost of isolation, and how small a difference timing can find.

Evaluations per second in the box and without it: the same C programs, compiled, checked and timed by the same
code, both ways, alternating. Start-up costs. Timing noise: blocks of a program, itself again, and one that
does 3 percent more work, timed as a final check is: how often the first two are called different, and the
third found out.

    python -m benchmarks.sandbox --json --out benchmarks/results/sandbox.json
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks._report import add_options, report
from benchmarks.sandbox import kernels as _sandbox_kernels
from benchmarks.sandbox import start_up as _start_up
from benchmarks.sandbox.bare_box import BareBox
from benchmarks.sandbox.kernels import chain
from sandbox_service.timed import timing
from sandbox_service.timed.block import Bench, evaluate_block
from sandbox_service.toolchains.c.compiler import CCompiler
from shared.box.box import Box
from shared.box.open import open_box
from shared.messages.records import Check, Evaluation, JsonObject
from shared.tasks.draw_program import load_verifier
from shared.tasks.task import TaskManifest, load_task

SLOWER = 1.03  # the work of the program that is truly slower
BLOCK = 8  # candidates of a throughput block: about what a shard brings for one instance
SHORT = 0.1  # of a kernel's usual length, so that isolation and not the kernel is measured
ANY: JsonObject = {}  # the chain is the same for every instance
MANIFEST: dict[str, Any] = {"name": "chain", "toolchain": "c", "score": {"low": 0.0, "high": 1000.0}}


class Laboratory:
    """Compiles and times a task's kernels in one kind of box, through the sandbox's own code."""

    def __init__(self, box: Box, folder: Path, verifier: Any, manifest: TaskManifest) -> None:
        self.box, self.verifier = box, verifier
        self.compiler = CCompiler(box, folder)
        self.bench = Bench(box, self.compiler.driver(), verifier, manifest, np.random.default_rng())
        self.compile([])

    def compile(self, sources: Sequence[str]) -> list[Path]:
        made = self.compiler.libraries(sources, self.verifier.CALL, self.verifier.FLAGS)
        return [made[source].needed("kernel") for source in sources]

    def block(
        self, baseline: Path, libraries: Sequence[Path], check: Check, instance: JsonObject = ANY
    ) -> list[Evaluation]:
        found = evaluate_block(self.bench, instance, check, baseline, libraries)
        failed = [evaluation.detail for evaluation in found if evaluation.outcome != "ok"]
        if failed:
            raise SystemExit(f"a kernel of the benchmark failed: {failed[0]}")
        return found


def throughput(boxed: Laboratory, bare: Laboratory, turns: int) -> JsonObject:
    """Blocks of programs that were never compiled before, boxed and bare, alternating (ABBA)."""
    marks = count(1)
    rates: dict[str, list[float]] = {"boxed": [], "bare": []}
    for turn in range(turns):
        pair = [("boxed", boxed), ("bare", bare)]
        for name, laboratory in pair if turn % 2 == 0 else pair[::-1]:
            sources = [chain(SHORT, mark=next(marks)) for _ in range(BLOCK)]
            started = time.perf_counter()
            libraries = laboratory.compile(sources)
            laboratory.block(libraries[0], libraries, "public")
            rates[name].append(BLOCK / (time.perf_counter() - started))
    medians = {name: round(median(found), 2) for name, found in rates.items()}
    return {
        "evaluations_per_s": medians,
        "ratio": round(medians["boxed"] / medians["bare"], 3),
        "blocks": turns,
        "block": BLOCK,
    }


def noise(laboratory: Laboratory, blocks: int, threads: int) -> JsonObject:
    """Every program in a process of its own, every block in fresh ones."""
    sources = [chain(work, threads=threads) for work in (1.0, SLOWER)]
    same, slower = laboratory.compile(sources)
    pairs = [laboratory.block(same, [same, slower], "final") for _ in range(blocks)]
    again, apart = ([timing.Timing(**pair[index].metrics) for pair in pairs] for index in (0, 1))
    return {
        **_equal(again),
        "true_difference": round(SLOWER - 1, 6),
        "power": sum(one.differs for one in apart) / blocks,
        "called_the_wrong_way": sum(one.differs and one.speedup > 1 for one in apart) / blocks,
    }


def noise_of_task(laboratory: Laboratory, blocks: int) -> JsonObject:
    """A/A on a real task: its baseline against itself, on instances as a run meets them."""
    timed = []
    for instance in laboratory.verifier.draw("train", blocks, 0):
        (library,) = laboratory.compile([laboratory.verifier.baseline(instance)])
        (found,) = laboratory.block(library, [library], "final", instance)
        timed.append(timing.Timing(**found.metrics))
    return _equal(timed)


def _equal(timed: Sequence[timing.Timing]) -> JsonObject:
    wrong = sum(one.differs for one in timed)
    return {
        "min_effect": timing.MIN_EFFECT,
        "comparisons": len(timed),
        "rounds": median(one.rounds for one in timed),
        "kernel_ms": round(median(one.baseline_ms for one in timed), 3),
        "aa_called_different": wrong / len(timed),
        "aa_called_different_high": _at_most(wrong, len(timed)),
        "aa_speedup_sd": round(float(np.std([one.speedup for one in timed])), 5),
        "interval_half_width": round(median((one.speedup_high - one.speedup_low) / 2 for one in timed), 5),
    }


def _at_most(hits: int, tries: int) -> float:
    """The upper end of Wilson's 95 % interval of a share."""
    z, share = 1.96, hits / tries
    spread = z * np.sqrt(share * (1 - share) / tries + z**2 / (4 * tries**2))
    return round(float((share + z**2 / (2 * tries) + spread) / (1 + z**2 / tries)), 4)


def measure(options: argparse.Namespace) -> JsonObject:
    load_before = os.getloadavg()[0]
    chain_manifest = TaskManifest.model_validate({**MANIFEST, "attempt": {"threads": options.threads}})
    trimul = load_task("trimul")
    with tempfile.TemporaryDirectory(prefix="ratchet-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        boxed = Laboratory(open_box(), folder / "boxed", _sandbox_kernels, chain_manifest)
        bare = Laboratory(BareBox(), folder / "bare", _sandbox_kernels, chain_manifest)
        real = Laboratory(boxed.box, folder / "real", load_verifier(trimul.folder), trimul.manifest)
        found = {
            **throughput(boxed, bare, options.turns),
            "start_up": _start_up.measure(boxed.box, options.starts),
            "timing_noise": noise(boxed, options.blocks, options.threads),
            "timing_noise_trimul": noise_of_task(real, options.real_blocks),
        }
    load = [round(load_before, 2), round(os.getloadavg()[0], 2)]
    return {**found, "threads": options.threads, "load": load}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="ratchet bench sandbox", description=__doc__)
    parser.add_argument(
        "--blocks", type=int, default=200, help="A/A comparisons, and as many of true differences"
    )
    parser.add_argument("--real-blocks", type=int, default=60, help="A/A comparisons of trimul's baseline")
    parser.add_argument("--turns", type=int, default=10, help="throughput blocks, boxed and bare each")
    parser.add_argument("--starts", type=int, default=20, help="starts of each kind")
    parser.add_argument("--threads", type=int, default=1, help="of the kernels that are timed")
    add_options(parser)
    options = parser.parse_args(arguments)
    started_s = time.monotonic()
    result = {
        "machine": {"cpus": os.cpu_count(), "arch": platform.machine(), "python": platform.python_version()},
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        **measure(options),
        "wall_s": round(time.monotonic() - started_s, 1),
    }
    report(result, options, table)
    return result


def table(result: dict[str, Any]) -> str:
    rates, found = result["evaluations_per_s"], result["timing_noise"]
    real = result["timing_noise_trimul"]
    lines = [
        f"evaluations/s: boxed {rates['boxed']:.2f}, bare {rates['bare']:.2f}, ratio {result['ratio']:.2f}",
        *(f"{name:26} {value:9.2f}" for name, value in result["start_up"].items()),
        f"A/A called different   {found['aa_called_different']:.3f} of {found['comparisons']}"
        f" (at most {found['aa_called_different_high']:.3f}); aim: 0.02 at {found['min_effect']:.0%}",
        f"A/A of trimul        {real['aa_called_different']:.3f} of {real['comparisons']}"
        f" (at most {real['aa_called_different_high']:.3f})",
        f"power at a true {found['true_difference']:.0%}   {found['power']:.3f}",
        f"load {result['load']}: on a busy machine power falls, A/A calls should not rise",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

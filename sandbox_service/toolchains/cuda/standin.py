"""A stand-in where there is no GPU: the candidate's text as C++ for the CPU, run in the box for its answer
alone.

What the trusted side adds to a candidate stands here: the header of the stand-in in front, and behind it the
launches, with their geometry. It is never timed, and its outcome is never a score.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from sandbox_service.failure import CandidateFailedError
from sandbox_service.timed.block import Bench
from sandbox_service.timed.kernel import Kernel, Quota
from sandbox_service.timed.kernel_sets import kernel_sets
from sandbox_service.toolchains.cuda.launch import Argument, Launch
from sandbox_service.verify.verifier import check_outputs
from shared.box.machine_lock import busy
from shared.messages.records import Evaluation, JsonObject

NO_DEVICE = "no device"
RUN_S = 30.0  # of one run: fibers are slow, and a slow stand-in is no fault of the candidate
QUOTA = Quota(threads=1, memory_mb=1024, cpu_s=int(3 * RUN_S))
EXTERN_SHARED = re.compile(
    r"\bextern\s+__shared__\s+(?:__align__\s*\(\s*\d+\s*\)\s*)?([\w\s:]+?)\s*\b(\w+)\s*\[\s*\]\s*;"
)
EXPORT = 'extern "C" __attribute__((visibility("default"))) void ratchet_call(void **in, void **out)'


def standin_text(
    source: str,
    launches: Sequence[Launch],
    inputs: Sequence[str],
    outputs: Sequence[str],
    scratch: Mapping[str, int],
) -> str:
    """A C++ file: header, candidate, and a `ratchet_call` that makes the launches in order.

    The second call of a process runs every block's threads in another order: an answer that depends on it
    differs between the two.
    """
    body = EXTERN_SHARED.sub(r"static \1 *\2 = (\1 *)standin::dynamic_shared;", source)
    places = {name: f"standin::Pointer{{in[{index}]}}" for index, name in enumerate(inputs)}
    places |= {name: f"standin::Pointer{{out[{index}]}}" for index, name in enumerate(outputs)}
    places |= {name: f"standin::Pointer{{scratch_{name}}}" for name in scratch}
    lines = [f"  static char *scratch_{name} = (char *)malloc({size});" for name, size in scratch.items()]
    lines += [f"  memset(scratch_{name}, 0xff, {size});" for name, size in scratch.items()]
    lines += [_launch_line(launch, places) for launch in launches]
    call = "\n".join(["  static unsigned calls;", *lines, "  calls++;"])
    return f'#include "cuda_standin.h"\n#line 1\n{body}\n{EXPORT} {{\n{call}\n}}\n'


def _launch_line(launch: Launch, places: Mapping[str, str]) -> str:
    sizes = ", ".join(f"{{{x}, {y}, {z}}}" for x, y, z in (launch.grid, launch.block, launch.cluster))
    given = ", ".join(_argument(argument, places) for argument in launch.args)
    sizes += ", true" if launch.overlaps else ", false"
    return f"  standin::launch({sizes}, calls & 1, [&] {{ {launch.kernel}({given}); }});"


def _argument(argument: Argument, places: Mapping[str, str]) -> str:
    if isinstance(argument, str):
        return places[argument]
    ((kind, value),) = argument.items()
    return {"i32": f"{value}", "i64": f"{value}LL", "f32": f"{float(value)!r}f"}[kind]


def evaluate_standin(bench: Bench, instance: JsonObject, libraries: Sequence[Path]) -> list[Evaluation]:
    """Whether each library is right on `instance`, which the task chose small. Never "ok"."""
    with busy():
        return [_evaluate_one(bench, instance, library) for library in libraries]


def _evaluate_one(bench: Bench, instance: JsonObject, library: Path) -> Evaluation:
    low = bench.manifest.score.low
    stage = replace(bench.stage(instance), quota=QUOTA)
    with closing(kernel_sets(stage, [], [library])) as sets:
        try:
            _check(bench, instance, next(sets)[0])
        except CandidateFailedError as failure:
            if failure.outcome == "timeout":
                return untimed(low, "its correctness is not known, as the CPU was too slow for it")
            return Evaluation(outcome=failure.outcome, score=low, detail=f"on the CPU: {failure.detail}")
    return untimed(low, "right on the CPU stand-in at a small shape")


def _check(bench: Bench, instance: JsonObject, kernel: Kernel) -> None:
    kernel.load(RUN_S)
    for _ in range(2):
        inputs = bench.verifier.make_inputs(instance, bench.rng)
        kernel.fill(inputs)
        kernel.run(RUN_S)
        check_outputs(bench.verifier, instance, bench.verifier.expected(instance, inputs), kernel.outputs())


def untimed(low: float, known: str) -> Evaluation:
    """Compiled, and so far as known right; without a device there is no score."""
    return Evaluation(outcome="not_timed", score=low, detail=f"{NO_DEVICE}; {known}")

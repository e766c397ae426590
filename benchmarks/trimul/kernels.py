"""TriMul as Python callables: C programs through ctypes, and torch, eager and compiled. For timing only: what
is loaded here runs in this process, with no box around it.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, TypeAlias

import numpy as np

from shared.box.machine_lock import quiet

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[Any]]
Arrays: TypeAlias = dict[str, Array]  # as the task's make_inputs gives them, in the entry's order
Kernel = Callable[[Arrays], Array]


def build(source: str, flags: Sequence[str], library: Path) -> Kernel:
    """A C program as a callable. Every library needs a path of its own: the loader knows them by name."""
    text = library.with_suffix(".c")
    text.write_text(source, encoding="utf-8")
    subprocess.run(["gcc", *flags, "-w", "-shared", "-fPIC", text, "-o", library, "-lm"], check=True)
    entry = ctypes.CDLL(str(library)).trimul

    def run(inputs: Arrays) -> Array:
        dims, *arrays = inputs.values()
        out = np.empty_like(inputs["x"])
        pointers = [ctypes.c_void_p(array.ctypes.data) for array in (*arrays, out)]
        entry(*(int(size) for size in dims), *pointers)
        return out

    return run


STAGES, STAGE_CALLS = 4, 5


def stage_seconds(library: Path, kernel: Kernel, inputs: Arrays) -> list[float] | None:
    """What a program says of its stages, the median of some calls of `kernel`; None where it says nothing."""
    try:
        told = (ctypes.c_double * STAGES).in_dll(ctypes.CDLL(str(library)), "stage_s")
    except ValueError:
        return None
    found = []
    for _ in range(STAGE_CALLS):
        kernel(inputs)
        found.append(list(told))
    return [median(stage) for stage in zip(*found, strict=True)]


def torch_kernels(threads: int) -> dict[str, Kernel]:
    """torch eager, and torch.compile (inductor's C++) in float32, float16 and bfloat16."""
    import torch

    torch.set_num_threads(threads)

    def wrap(operator: Callable[..., Any], dtype: Any = torch.float32) -> Kernel:
        def run(inputs: Arrays) -> Array:
            with torch.no_grad():
                # in float32 they share memory; a conversion is part of what is timed
                tensors = {name: torch.from_numpy(array).to(dtype) for name, array in inputs.items()}
                result: Array = operator(tensors).float().numpy()
                return result

        return run

    return {
        "torch_eager": wrap(_torch_trimul),
        "torch_compile": wrap(torch.compile(_torch_trimul)),
        "torch_compile_float16": wrap(torch.compile(_torch_trimul), torch.float16),
        "torch_compile_bfloat16": wrap(torch.compile(_torch_trimul), torch.bfloat16),
    }


def _torch_trimul(t: dict[str, Any]) -> Any:
    import torch
    from torch.nn.functional import layer_norm, linear

    y = layer_norm(t["x"], t["ln1_w"].shape, t["ln1_w"], t["ln1_b"])
    mask = t["mask"][..., None]
    left = linear(y, t["wl"]) * mask * torch.sigmoid(linear(y, t["wlg"]))
    right = linear(y, t["wr"]) * mask * torch.sigmoid(linear(y, t["wrg"]))
    product = torch.einsum("bikd,bjkd->bijd", left, right)
    normal = layer_norm(product, t["ln2_w"].shape, t["ln2_w"], t["ln2_b"])
    return linear(normal * torch.sigmoid(linear(y, t["wog"])), t["wout"])


@dataclass(frozen=True)
class Times:
    """Of one kernel's calls, round by round, in seconds. `processor_s`: what all its threads computed,
    without the time in which other work had the cores; on a machine of one's own it adds little."""

    wall_s: list[float] = field(default_factory=list)
    processor_s: list[float] = field(default_factory=list)


def interleaved(kernels: dict[str, Kernel], inputs: Arrays, rounds: dict[str, int]) -> dict[str, Times]:
    """Every kernel by rounds: in each round every one runs once, forth and then back."""
    times = {name: Times() for name in kernels}
    for number in range(max(rounds.values())):
        names = list(kernels) if number % 2 == 0 else list(kernels)[::-1]
        with quiet():
            for name in names:
                if number < rounds[name]:
                    started, computed = perf_counter(), process_time()
                    kernels[name](inputs)
                    times[name].wall_s.append(perf_counter() - started)
                    times[name].processor_s.append(process_time() - computed)
    return times


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """How many times faster ours is: the median over the rounds in which both ran."""
    return median(a / b for a, b in zip(theirs, ours, strict=False))

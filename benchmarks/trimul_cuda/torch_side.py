"""The side of `ratchet bench trimul_cuda` that has torch: a program of its own, for any interpreter with it.

One JSON request a line on stdin, one reply a line on stdout. It draws inputs on the GPU, launches cubins by
the driver's own calls beside torch eager and torch.compile, checks every output against float64, and times by
CUDA events and by the wall clock. It needs one file of Ratchet, and holds no box: for trusted cubins only.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from runpy import run_path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import torch
from torch.nn.functional import layer_norm, linear

Tensors = dict[str, torch.Tensor]
H = 128
TOLERANCE, RMS_TOLERANCE = 2e-2, 2e-3  # as the task's verifier has them
FLUSH_S = 0.01  # of memory traffic before each run: an awake GPU, an L2 cache full of something else
BUSY_FLUSHES = 8  # more of it, enqueued in front of what is timed: no launch waits for the host
CHUNK = 1 << 26  # numbers compared at a time
LAUNCHING = Path(__file__).resolve().parents[2] / "sandbox_service/toolchains/cuda/extended_launch.py"
# By its file: the interpreter need not have Ratchet installed.
launching: Any = SimpleNamespace(**run_path(str(LAUNCHING)))


class Cubin:
    """A loaded cubin with its launches; a call runs them on the current stream."""

    def __init__(self, path: str, launches: list[dict[str, Any]]) -> None:
        with open(path, "rb") as file:
            self._module = launching.ExtendedModule(file.read())
        self._launches = [
            (self._module.function(launch["kernel"], launch["shared_bytes"]), launch) for launch in launches
        ]

    def calls(self, buffers: Tensors) -> list[Callable[[], None]]:
        """The launches in order, each ready to go."""
        places = {name: tensor.data_ptr() for name, tensor in buffers.items()}
        return [self._call(function, launch, places) for function, launch in self._launches]

    def _call(self, function: Any, launch: dict[str, Any], places: dict[str, int]) -> Callable[[], None]:
        values = launching.values_of(launch["args"], places)

        def call() -> None:
            self._module.launch(function, launch, values, torch.cuda.current_stream().cuda_stream)

        return call

    def unload(self) -> None:
        self._module.unload()


def make_inputs(shape: dict[str, Any]) -> Tensors:
    """As the task's verifier draws them, on the GPU."""
    b, n, c = shape["B"], shape["N"], shape["C"]
    x = torch.randn(b, n, n, c, device="cuda")
    if shape["distribution"] == "cauchy":
        x.cauchy_(0, 2)
    matrices = {
        name: torch.randn(H, c, device="cuda") * H**-0.5 for name in ("wl", "wr", "wlg", "wrg", "wog")
    }
    lines = {name: torch.randn(size, device="cuda") for name, size in (("ln1_w", c), ("ln1_b", c))}
    lines |= {name: torch.randn(H, device="cuda") for name in ("ln2_w", "ln2_b")}
    mask = torch.randint(0, 2, (b, n, n), device="cuda").float()
    return {"x": x, "mask": mask, **matrices, **lines, "wout": torch.randn(c, H, device="cuda") * c**-0.5}


def trimul(t: Tensors) -> torch.Tensor:
    """The operator, in the precision of what it is given."""
    y = layer_norm(t["x"], t["ln1_w"].shape, t["ln1_w"], t["ln1_b"])
    mask = t["mask"][..., None]
    left = linear(y, t["wl"]) * mask * torch.sigmoid(linear(y, t["wlg"]))
    right = linear(y, t["wr"]) * mask * torch.sigmoid(linear(y, t["wrg"]))
    product = torch.einsum("bikd,bjkd->bijd", left, right)
    normal = layer_norm(product, t["ln2_w"].shape, t["ln2_w"], t["ln2_b"])
    return linear(normal * torch.sigmoid(linear(y, t["wog"])), t["wout"])


def halved(operator: Callable[[Tensors], torch.Tensor]) -> Callable[[Tensors], torch.Tensor]:
    """With half-precision operands wherever torch's autocast puts them."""

    def run(t: Tensors) -> torch.Tensor:
        with torch.autocast("cuda", torch.float16):
            return operator(t)

    return run


def fault(got: torch.Tensor, want: torch.Tensor) -> tuple[str, float]:
    """What is wrong, empty where nothing is; and the relative RMS error. `want` is float64."""
    error, squares, size, misses = 0.0, 0.0, want.numel(), 0
    for first in range(0, size, CHUNK):
        have, right = (tensor.reshape(-1)[first : first + CHUNK] for tensor in (got, want))
        difference = (have.double() - right).abs()
        misses += int((~(difference <= TOLERANCE + TOLERANCE * right.abs())).sum())  # a NaN misses
        error += float((difference**2).sum())
        squares += float((right**2).sum())
    rms = (error / max(squares, 1e-300)) ** 0.5
    if misses:
        return f"{misses} of {size} elements are off", rms
    return ("" if rms <= RMS_TOLERANCE else f"relative RMS error {rms:.2g}"), rms


class Bench:
    """Programs by name, on one shape at a time."""

    def __init__(self) -> None:
        l2_bytes = torch.cuda.get_device_properties(0).L2_cache_size
        self._flush = torch.empty(2 * l2_bytes // 4, dtype=torch.int32, device="cuda")
        self._compiled = torch.compile(trimul, dynamic=False)
        self._torch = {
            "torch_eager": trimul,
            "torch_compile": self._compiled,
            "torch_compile_half": halved(self._compiled),
        }

    def device(self) -> dict[str, Any]:
        names = torch.cuda.get_device_properties(0)
        return {"name": names.name, "torch": torch.__version__, "cuda": torch.version.cuda}

    def ceilings(self) -> dict[str, float]:
        """What this device reaches: a device-to-device copy, and a half-precision matrix product."""
        source, target = (torch.empty(1 << 30, dtype=torch.int32, device="cuda") for _ in range(2))
        a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.float16) for _ in range(2))
        copy_s = min(self._timed(lambda: target.copy_(source))[0] for _ in range(5))
        product_s = sorted(self._timed(lambda: torch.mm(a, b))[0] for _ in range(11))[5]
        return {
            "copy_tb_per_s": 2 * 4 * 2**30 / copy_s / 1e12,
            "product_tflops": 2 * 8192**3 / product_s / 1e12,
        }

    @torch.no_grad()
    def measure(
        self,
        shape: dict[str, Any],
        scratch: dict[str, int],
        programs: dict[str, dict[str, Any]],
        torch_names: list[str],
        rounds: int,
        once: list[str],
        seed: int,
    ) -> dict[str, Any]:
        """Every program and torch function in every round (those in `once` in the first only), in an order
        that is drawn anew and mirrored in the next round. All outputs are checked."""
        torch.manual_seed(seed)
        rng = random.Random(seed)
        cubins = {name: Cubin(given["cubin"], given["launches"]) for name, given in programs.items()}
        names = [*cubins, *torch_names]
        found: dict[str, dict[str, Any]] = {name: {"event_s": [], "wall_s": [], "rms": []} for name in names}
        for number in range(rounds + 1):  # the first warms up, and is checked as well
            inputs = make_inputs(shape)
            want = trimul({name: tensor.double() for name, tensor in inputs.items()})
            if number % 2:
                rng.shuffle(names)
            for name in names if number % 2 else names[::-1]:
                if "fault" in found[name] or (number > 1 and name in once):
                    continue
                if name in cubins:
                    event_s, wall_s, apart, out = self._run_cubin(cubins[name], inputs, scratch)
                    found[name].setdefault("kernels_s", []).append(apart)
                else:
                    event_s, wall_s, out = self._run_torch(self._torch[name], inputs)
                wrong, rms = fault(out, want)
                del out
                found[name]["rms"].append(rms)
                if wrong:
                    found[name]["fault"] = wrong
                if number:
                    found[name]["event_s"].append(event_s)
                    found[name]["wall_s"].append(wall_s)
            del want
        for cubin in cubins.values():
            cubin.unload()
        return found

    def _run_cubin(
        self, cubin: Cubin, inputs: Tensors, scratch: dict[str, int]
    ) -> tuple[float, float, list[float], torch.Tensor]:
        out = torch.full_like(inputs["x"], float("nan"))
        fresh = {
            name: torch.full((-(-size // 4),), float("nan"), device="cuda") for name, size in scratch.items()
        }
        calls = cubin.calls({**inputs, **fresh, "out": out})
        event_s, wall_s = self._timed(lambda: [call() for call in calls])
        kept = out.clone()
        apart = [self._timed(call)[0] for call in calls]
        return event_s, wall_s, apart, kept

    def _run_torch(
        self, operator: Callable[[Tensors], torch.Tensor], inputs: Tensors
    ) -> tuple[float, float, torch.Tensor]:
        kept: list[torch.Tensor] = []
        event_s, wall_s = self._timed(lambda: kept.append(operator(inputs)))
        return event_s, wall_s, kept[0]

    def _timed(self, work: Callable[[], Any]) -> tuple[float, float]:
        """Seconds by events, and by the wall clock around a device-wide synchronisation."""
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        end = perf_counter() + FLUSH_S
        while perf_counter() < end:
            self._flush.fill_(1)
            torch.cuda.synchronize()
        started = perf_counter()
        for number in range(BUSY_FLUSHES):
            self._flush.fill_(number)
        first.record()
        work()
        last.record()
        torch.cuda.synchronize()
        return first.elapsed_time(last) / 1e3, perf_counter() - started


def main() -> None:
    if not torch.cuda.is_available():
        print(json.dumps({"error": f"torch {torch.__version__} sees no GPU"}), flush=True)
        return
    torch.backends.cuda.matmul.allow_tf32 = False
    bench = Bench()
    operations: dict[str, Callable[..., Any]] = {
        name: getattr(bench, name) for name in ("device", "ceilings", "measure")
    }
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = {"value": operations[request.pop("operation")](**request)}
        except (RuntimeError, launching.LaunchError) as error:  # after those this process is of no use
            reply = {"error": str(error)[:2000]}
        print(json.dumps(reply), flush=True)
        if "error" in reply:
            return


if __name__ == "__main__":
    main()

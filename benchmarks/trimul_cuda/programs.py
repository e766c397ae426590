"""TriMul's CUDA programs for a benchmark: rendered, compiled without a box, measured beside torch."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks._module import load_module
from sandbox_service.toolchains.cuda.compiler import INCLUDE, NVCC_FLAGS, find_nvcc
from sandbox_service.toolchains.cuda.source import launch_meta
from shared import children
from shared.errors import BoxError, ToolMissingError
from shared.messages.records import JsonObject
from shared.tasks.draw_program import load_verifier
from shared.tasks.task import load_task

# Set by hand. The seed harness does not hold it.
HAND: JsonObject = {
    **{"positions": 256, "ring": 20, "cluster": 1, "prefetch": 1, "sigmoid": "tanh", "tile_j": 256},
    **{
        "product_ring": 4,
        "product_blocks": 1,
        "finish_groups": 3,
        "finish_depth": 2,
        "finish_blocks": 1,
        "overlap": 0,
    },
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
        done = subprocess.run([*argv, text, "-o", cubin], capture_output=True, encoding="utf-8")
        if done.returncode:
            raise BoxError(f"nvcc: {done.stderr[-800:]}")
        return {"cubin": str(cubin), "launches": self.verifier.launch(shape, launch_meta(source))}


class TorchProcess:
    """benchmarks/trimul_cuda/torch_side.py in the interpreter that has torch; a new one after it failed."""

    def __init__(self, python: str, reply_s: float) -> None:
        self._reply_s = reply_s
        self._argv = [python, str(Path(__file__).with_name("torch_side.py"))]
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
        with suppress(BrokenPipeError):  # it has ended already, and said why
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
                    return {"error": f"{operation}: the process with torch ended, or did not reply in time"}
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
            self._process.communicate()
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
    return float(sum(max(work / rate, moved / bandwidth) for work, moved in parts))


def programs_of(task: Task, shape: JsonObject, schedule: JsonObject, *, naive: bool) -> JsonObject:
    name = "-".join(str(shape[key]) for key in "BNC")
    programs = {"ours": task.program(task.source(schedule, shape), shape, f"ours-{name}")}
    if naive:
        programs["naive"] = task.program(task.verifier.baseline(shape), shape, f"naive-{name}")
    return programs


def microseconds(seconds: float) -> float:
    return round(seconds * 1e6, 1)

"""The client of cuda_runner.py: one candidate's cubin on the GPU, in a process of its own.

As with a boxed kernel, a candidate's failure is a CandidateFailedError, a failure of the sandbox a BoxError.
The runner is not in a box: its host code is trusted, and the driver's contexts separate the device's memory.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from sandbox_service.failure import CandidateFailedError
from sandbox_service.timed.arena import Arena
from sandbox_service.toolchains.cuda.launch import Launch
from shared import children
from shared.errors import BoxError
from shared.messages.records import JsonObject

START_S = 120.0  # a first context on a machine with many GPUs takes long
READY_S = 120.0  # copying inputs and outputs
GONE_S = 20.0  # a process whose kernel hangs may take that long to die
SANITIZER_FOUND = 86


@dataclass(frozen=True)
class Run:
    """One timed run, by three clocks: CUDA events, the runner's, the parent's."""

    event_s: float
    wall_s: float
    parent_s: float


class NoDeviceError(Exception):
    """There is no GPU, or no pycuda: nothing is broken, and nothing can be timed."""


class CudaKernel:
    """start, load (once), run (as often as wanted), exit. Raises NoDeviceError where there is no GPU."""

    def __init__(self, prefix: Sequence[str] = ()) -> None:
        """`prefix` is the command line of a checker (compute-sanitizer) that the runner runs under."""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._replies, end = os.pipe()
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "sandbox_service.toolchains.cuda.runner", str(end)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self._stderr,
            bufsize=0,
            cwd=Path(__file__).resolve().parents[3],
            pass_fds=(end,),
            start_new_session=True,
            preexec_fn=children.die_with_parent,
        )
        os.close(end)
        self._dead = False
        try:
            reply = self._reply(START_S)
            if reply is None or not ("absent" in reply or "value" in reply):
                raise BoxError(f"the CUDA runner did not start: {self._tail()}", "run `ratchet doctor`")
            if "absent" in reply:
                raise NoDeviceError(reply["absent"])
        except BaseException:
            self.close()
            raise
        self.device: JsonObject = reply["value"]

    def load(
        self, cubin: Path, arena: Arena, sizes: Mapping[str, int], scratch: JsonObject, launches: list[Launch]
    ) -> None:
        """Load the cubin. `sizes` are the inputs' bytes by name, in the arena's order."""
        self.arena = arena
        inputs = {
            name: [offset, size]
            for offset, (name, size) in zip(arena.input_offsets, sizes.items(), strict=True)
        }
        outputs = {
            name: [offset, 4 * math.prod(shape)]
            for offset, (name, shape) in zip(arena.output_offsets, arena.output_shapes.items(), strict=True)
        }
        self._ask(
            "load",
            READY_S,
            cubin=str(cubin),
            arena=str(arena.path),
            inputs=inputs,
            outputs=outputs,
            scratch=scratch,
            launches=[launch.model_dump() for launch in launches],
        )

    def run(self, timeout_s: float) -> Run:
        """One run on what is in the arena; afterwards the outputs are there."""
        self._ask("ready", READY_S)
        nonce = secrets.token_hex(8)
        started = time.perf_counter()
        reply = self._ask("go", timeout_s, nonce=nonce)
        parent_s = time.perf_counter() - started
        if reply["nonce"] != nonce:
            raise BoxError("the CUDA runner answered another request than was asked")
        self._ask("collect", READY_S)
        return Run(reply["event_s"], reply["wall_s"], parent_s)

    def finish(self) -> int:
        """Let it end by itself; returns its exit code (a checker's shows what it found)."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            return self._process.wait(READY_S)
        except subprocess.TimeoutExpired:
            return -1

    def close(self) -> None:
        """End it. Raises BoxError if it will not die, as with a kernel that hangs in the driver."""
        if self._dead:
            return
        self._dead = True
        self._process.kill()
        try:
            self._process.wait(GONE_S)
        except subprocess.TimeoutExpired:
            raise BoxError("a CUDA runner does not die: its GPU hangs") from None
        finally:
            os.close(self._replies)
            self._stderr.close()
            if self._process.stdin is not None:
                self._process.stdin.close()

    def _ask(self, operation: str, timeout_s: float, **fields: Any) -> Any:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write((json.dumps({"operation": operation, **fields}) + "\n").encode())
        except BrokenPipeError:
            raise CandidateFailedError("crashed", f"the runner is gone: {self._tail()}") from None
        reply = self._reply(timeout_s)
        if reply is None:
            raise CandidateFailedError("timeout", f"{operation}: no answer after {timeout_s:.1f} s")
        if "error" in reply:
            raise CandidateFailedError("crashed", f"CUDA ({operation}): {reply['error'][:400]}")
        if "value" not in reply:
            raise CandidateFailedError("crashed", f"the runner ended in {operation}: {self._tail()}")
        return reply["value"]

    def _reply(self, timeout_s: float) -> JsonObject | None:
        """A reply; {} if the runner ended; None after `timeout_s`."""
        data, deadline = b"", time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._replies, selectors.EVENT_READ)
            while not data.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                more = os.read(self._replies, 1 << 16)
                if not more:
                    return {}
                data += more
        found: JsonObject = json.loads(data)
        return found

    def _tail(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode(errors="replace").strip()[-400:] or "it wrote nothing"

    def __enter__(self) -> CudaKernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

"""Operations of the verifier's process for toolchain "cuda": plans, checks on the CPU, blocks on the GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sandbox_service.timed.block import Bench
from sandbox_service.toolchains.cuda.block import CudaBench, Program, evaluate_cuda, plan
from sandbox_service.toolchains.cuda.process import NoDeviceError
from sandbox_service.toolchains.cuda.standin import evaluate_standin
from shared.box.open import open_box
from shared.errors import TaskError
from shared.messages.records import Check, JsonObject
from shared.tasks.task import Task

DEFAULT_ARCH = "sm_90"
NEEDED = (
    "launch",
    "scratch",
    "small",
    "floor_s",
    "make_inputs",
    "output_shapes",
    "expected",
    "check",
    "score",
)


class CudaOperations:
    """The operations, by name; each takes the request's other fields and returns plain JSON."""

    def __init__(self, task: Task, verifier: Any, rng: np.random.Generator) -> None:
        self._task, self._verifier, self._rng = task, verifier, rng

    def cuda(self) -> JsonObject:
        missing = [name for name in NEEDED if not hasattr(self._verifier, name)]
        if missing:
            raise TaskError(f"{self._task.name}: verifier.py has no {', '.join(missing)}")
        flags = list(getattr(self._verifier, "FLAGS", []))
        return {"arch": getattr(self._verifier, "ARCH", DEFAULT_ARCH), "flags": flags}

    def cuda_plan(self, instance: JsonObject, meta: JsonObject, small: bool) -> JsonObject:
        """Launches, scratch and the buffers' names; {"fault": reason} where the geometry is out of bounds."""
        shape = {**instance, **self._verifier.small(instance)} if small else instance
        try:
            launches, scratch = plan(self._verifier, self._task.name, shape, meta)
        except ValueError as error:
            return {"fault": str(error)}
        tiny = {**instance, **self._verifier.small(instance)}
        return {
            "instance": shape,
            "launches": [launch.model_dump(mode="json") for launch in launches],
            "scratch": scratch,
            "inputs": list(self._verifier.make_inputs(tiny, np.random.default_rng(0))),
            "outputs": list(self._verifier.output_shapes(tiny)),
        }

    def cuda_standin(self, instance: JsonObject, driver: str, libraries: list[str]) -> list[JsonObject]:
        bench = Bench(open_box(), Path(driver), self._verifier, self._task.manifest, self._rng)
        found = evaluate_standin(bench, instance, [Path(path) for path in libraries])
        return [evaluation.model_dump(mode="json") for evaluation in found]

    def cuda_block(
        self,
        instance: JsonObject,
        check: Check,
        programs: list[tuple[str, JsonObject]],
        canary: str,
        folder: str,
    ) -> JsonObject:
        """`programs` are cubins with their launch settings, the baseline first."""
        bench = CudaBench(self._verifier, self._task.manifest, self._rng, Path(canary), Path(folder))
        baseline, *candidates = [Program(Path(cubin), meta) for cubin, meta in programs]
        try:
            found = evaluate_cuda(bench, instance, check, baseline, candidates)
        except NoDeviceError as error:
            return {"absent": str(error)}
        return {"evaluations": [evaluation.model_dump(mode="json") for evaluation in found]}

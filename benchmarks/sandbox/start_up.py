"""Start-up costs of what the sandbox starts, in ms: medians."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from sandbox_service.verify.process import VerifierProcess
from shared.box.box import Box, Limits
from shared.box.bubblewrap.probe import probe
from shared.box.machine_lock import quiet
from shared.harness.steps import ScaffoldPool
from shared.tasks.task import AttemptSection, load_task

LIMITS = Limits(wall_s=60, cpu_s=60, memory_mb=4096)
ANSWER = 'def step(instance, history, knobs, context):\n    return {"answer": {"content": "x"}}\n'
PAYLOAD: dict[str, Any] = {"instance": {}, "history": [], "knobs": {}, "context": {}}
PYTHON = (sys.executable, "-s", "-P", "-B", "-c")


def measure(box: Box, times: int) -> dict[str, float]:
    programs = {"program": ["true"], "python": [*PYTHON, ""], "numpy": [*PYTHON, "import numpy"]}
    found = {}
    for name, argv in programs.items():
        found[f"box_{name}_ms"] = _median_ms(partial(box.run, argv, limits=LIMITS), times)
        found[f"bare_{name}_ms"] = _median_ms(partial(subprocess.run, argv, check=True), times)
    return {
        **found,
        "probe_ms": _median_ms(probe, 1),  # the box attacks itself, once a service
        "verifier_ms": _median_ms(_verifier, max(1, times // 4)),
        **_scaffold(box, times),
    }


def _verifier() -> None:
    with VerifierProcess(load_task("trimul")) as verifier:
        verifier.ask("toolchain")


def _scaffold(box: Box, times: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="ratchet-bench-") as name, ScaffoldPool(box) as pool:
        folder = Path(name)
        (folder / "scaffold.py").write_text(ANSWER, encoding="utf-8")

        def step() -> None:
            pool.step("one", folder, PAYLOAD, AttemptSection())

        return {
            "scaffold_first_step_ms": _median_ms(step, 1),
            "scaffold_warm_step_ms": _median_ms(step, times),
        }


def _median_ms(action: Callable[[], object], times: int) -> float:
    seconds = []
    with quiet():
        for _ in range(times):
            started = time.perf_counter()
            action()
            seconds.append(time.perf_counter() - started)
    return round(median(seconds) * 1e3, 2)

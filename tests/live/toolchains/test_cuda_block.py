"""A block on a simulated GPU: the real runner, client, schedule and checks, with numpy behind pycuda's names.

What only hardware can show stands in tests/gpu.
"""

from pathlib import Path

import numpy as np
import pytest

from sandbox_service.toolchains.cuda.block import CudaBench, Program, evaluate_cuda
from sandbox_service.toolchains.cuda.health import quarantine_file
from sandbox_service.toolchains.cuda.process import CudaKernel
from shared.errors import BoxError
from shared.messages.records import Evaluation
from shared.tasks.draw_program import load_verifier
from shared.tasks.task import load_task

HERE = Path(__file__).parent
INSTANCE = {"id": "one", "n": 50_000}
EXPECTED = {
    "is fast": "ok",
    "crashes": "crashed",
    "hangs": "timeout",
    "writes nothing": "no_output",
    "writes half": "wrong",
    "answers wrongly": "wrong",
    "is right only once": "wrong",
    "fakes its clock": "refused",
    "always stalls": "refused",
    "stalls once": "ok",
}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CudaBench:
    monkeypatch.setenv("PYTHONPATH", str(HERE / "simulated_gpu"))
    monkeypatch.setenv("SIMULATED_GPU_BROKEN", str(tmp_path / "broken"))
    task = load_task(str(HERE / "tiny_cuda"))
    canary = program(tmp_path, "canary").cubin
    return CudaBench(
        load_verifier(task.folder), task.manifest, np.random.default_rng(), canary, tmp_path / "quarantine"
    )


def program(folder: Path, behaviour: str) -> Program:
    path = folder / f"{behaviour}.cubin"
    path.write_text(behaviour)
    return Program(path, {})


def evaluate(bench: CudaBench, folder: Path, *behaviours: str) -> list[Evaluation]:
    candidates = [program(folder, behaviour) for behaviour in behaviours]
    return evaluate_cuda(bench, INSTANCE, "public", program(folder, "is plain"), candidates)


def test_every_candidate_ends_as_what_it_is_and_the_next_is_not_harmed(bench: CudaBench, tmp_path: Path):
    found = dict(zip(EXPECTED, evaluate(bench, tmp_path, *EXPECTED), strict=True))

    assert {name: evaluation.outcome for name, evaluation in found.items()} == EXPECTED
    assert all(evaluation.score == -1.0 for evaluation in found.values() if evaluation.outcome != "ok")
    assert found["is fast"].metrics["rounds"] == found["stalls once"].metrics["rounds"] == 4
    assert found["is fast"].metrics["speedup"] > 1
    assert "clocks do not agree" in found["fakes its clock"].detail
    assert "clocks do not agree" in found["always stalls"].detail


def test_a_time_under_the_physical_floor_is_refused(bench: CudaBench, tmp_path: Path):
    bench.verifier.floor_s = lambda instance, device: 0.05

    (found,) = evaluate(bench, tmp_path, "is fast")

    assert found.outcome == "refused"
    assert "physical floor" in found.detail


def test_a_gpu_whose_canary_fails_is_quarantined_and_not_used_again(bench: CudaBench, tmp_path: Path):
    with pytest.raises(BoxError, match="quarantine: the canary failed after"):
        evaluate(bench, tmp_path, "breaks the GPU")
    (tmp_path / "broken").unlink()

    with pytest.raises(BoxError, match="uncorrectable ECC"):
        evaluate(bench, tmp_path, "is fast")

    quarantine_file(bench.folder, "0000:00:00.0").unlink()
    assert evaluate(bench, tmp_path, "is fast")[0].outcome == "ok"


def test_a_baseline_that_fails_is_broken_infrastructure(bench: CudaBench, tmp_path: Path):
    with pytest.raises(BoxError, match="the baseline failed"):
        evaluate_cuda(
            bench, INSTANCE, "public", program(tmp_path, "answers wrongly"), [program(tmp_path, "is fast")]
        )


def test_the_runner_leaves_nothing_behind(bench: CudaBench):
    with CudaKernel() as kernel:
        pid = kernel._process.pid
        assert kernel.device["name"] == "simulated"
    assert not Path(f"/proc/{pid}").exists()

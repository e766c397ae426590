"""Behaviour that only a GPU can show. Each test is skipped, with the reason, where there is none."""

from pathlib import Path

import numpy as np
import pytest

from sandbox_service.evaluate import Evaluator
from sandbox_service.toolchains.cuda.block import CudaBench, Program, canary_passes, evaluate_cuda
from sandbox_service.toolchains.cuda.compiler import CudaCompiler, find_nvcc
from sandbox_service.toolchains.cuda.health import clocks
from sandbox_service.toolchains.cuda.process import CudaKernel, NoDeviceError
from sandbox_service.toolchains.cuda.source import launch_meta
from shared.box.open import open_box
from shared.messages.records import Block, CandidateBatch, Evaluation
from shared.store.store import LocalStore
from shared.tasks.draw_program import load_verifier
from shared.tasks.task import load_task

TINY = Path(__file__).parents[1] / "live" / "toolchains" / "tiny_cuda"
INSTANCE = {"id": "one", "n": 10_000_000}
HEAD = 'extern "C" __global__ void tiny(const float *a, const float *b, float *out, int n) {\n'
AT = "int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
HONEST = HEAD + AT + "if (i < n) out[i] = a[i] * b[i] + a[i]; }"
CORPUS = {
    "honest": ("ok", HONEST),
    "out of bounds": ("crashed", HEAD + AT + "out[(long long)i << 34] = 1; }"),
    "traps": ("crashed", HEAD + "__trap(); }"),
    "never ends": ("timeout", HEAD + "while (*(volatile float *)out != 7) { } }"),
    "writes half": ("wrong", HONEST.replace("i < n", "i < n / 2")),
    "replays its first answer": (
        "wrong",
        "__device__ float kept[10000000]; __device__ int calls;\n"
        + HEAD
        + AT
        + "if (i < n) { if (calls == 0) kept[i] = a[i] * b[i] + a[i]; out[i] = kept[i]; }\n"
        + "__threadfence(); if (i == n - 1) calls = 1; }",
    ),
    "honest after all of them": ("ok", HONEST.replace("a[i] * b[i] + a[i]", "fmaf(a[i], b[i], a[i])")),
}


def absent() -> str:
    try:
        with CudaKernel():
            return "" if find_nvcc() else "nvcc is not installed"
    except NoDeviceError as error:
        return str(error)


REASON = absent()
pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no device: {REASON}")


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return CudaCompiler(open_box(), tmp_path_factory.mktemp("canary"), arch="sm_90").canary()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evaluation]:
    folder = tmp_path_factory.mktemp("gpu")
    evaluator = Evaluator(LocalStore(folder / "store"), folder / "cache")
    entries = tuple((name, source) for name, (_, source) in CORPUS.items())
    block = Block(instance=INSTANCE, entries=entries)
    try:
        batch = CandidateBatch(task=str(TINY), check="public", fresh=True, blocks=(block,))
        scores = evaluator.evaluate(batch)
    finally:
        evaluator.close()
    return dict(zip(CORPUS, scores.blocks[0], strict=True))


@pytest.mark.parametrize("name", CORPUS)
def test_a_candidate_ends_as_what_it_is_and_harms_none_after_it(name: str, found: dict[str, Evaluation]):
    assert found[name].outcome == CORPUS[name][0], found[name].detail


def test_the_same_program_as_the_baseline_is_no_faster_than_it(found: dict[str, Evaluation]):
    assert 0.5 < found["honest"].metrics["speedup"] < 2
    assert found["honest"].metrics["floor_ms"] > 0


def test_the_canary_passes(canary: Path):
    assert canary_passes(canary)


def test_clocks_are_told_by_nvml():
    with CudaKernel() as kernel:
        clock_state = clocks(kernel.device["pci"])
    assert clock_state["sm_mhz"] > 0
    assert "throttle_reasons" in clock_state


@pytest.mark.slow
def test_the_plain_triangle_is_right_at_a_benchmark_shape_with_a_real_mask(canary: Path, tmp_path: Path):
    task = load_task("trimul_cuda")
    verifier = load_verifier(task.folder)
    naive = verifier.baseline({})
    cubin = CudaCompiler(open_box(), tmp_path, arch="sm_90").cubin(naive, verifier.FLAGS)
    bench = CudaBench(verifier, task.manifest, np.random.default_rng(), canary, tmp_path)
    instance = next(one for one in verifier.draw("test", 7, 1) if one["N"] == 256 and one["C"] == 128)
    plain = Program(cubin.needed("baseline"), launch_meta(naive))
    (found,) = evaluate_cuda(bench, instance, "final", plain, [plain])
    assert found.outcome == "ok", found.detail

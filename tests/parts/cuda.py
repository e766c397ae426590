"""CUDA candidates for tests: the evaluator on one instance, the smallest task, a schedule as a program. Not a
test."""

import importlib.util
from pathlib import Path

import pytest

from sandbox_service.evaluate import Evaluator
from sandbox_service.toolchains.cuda.process import CudaKernel, NoDeviceError
from shared.messages.records import Block, CandidateBatch, Evaluation
from shared.store.store import LocalStore
from shared.tasks.task import load_task

TINY = Path(__file__).parents[1] / "live" / "toolchains" / "tiny_cuda"
TRIMUL = {"id": "t", "B": 1, "N": 192, "C": 128, "mask": "random", "distribution": "normal", "seed": 1}
HEAD = 'extern "C" __global__ void tiny(const float *a, const float *b, float *out, int n) {\n'
AT = "int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
HONEST = HEAD + AT + "if (i < n) out[i] = a[i] * b[i] + a[i]; }"


def without_a_gpu() -> bool:
    try:
        with CudaKernel():
            return False
    except NoDeviceError:
        return True


on_cpu = pytest.mark.skipif(not without_a_gpu(), reason="there is a GPU: tests/gpu looks at it")


def evaluate(task: Path, instance: dict[str, object], folder: Path, *sources: str) -> list[Evaluation]:
    evaluator = Evaluator(LocalStore(folder / "store"), folder / "cache")
    entries = tuple((str(index), source) for index, source in enumerate(sources))
    block = Block(instance=instance, entries=entries)
    try:
        batch = CandidateBatch(task=str(task), check="public", fresh=False, blocks=(block,))
        return list(evaluator.evaluate(batch).blocks[0])
    finally:
        evaluator.close()


def evaluate_corpus(corpus: dict[str, tuple[str, str, str]], folder: Path) -> dict[str, Evaluation]:
    """By name. A case: the outcome, a part of its detail, and the source."""
    sources = [source for _, _, source in corpus.values()]
    made = evaluate(TINY, {"id": "one", "n": 100_000}, folder, *sources)
    return dict(zip(corpus, made, strict=True))


def assert_ends_as(case: tuple[str, str, str], found: Evaluation) -> None:
    outcome, message, _ = case
    assert found.outcome == outcome, found.detail
    assert message in found.detail
    assert len(found.detail) <= 1500


def rendered(**knobs: object) -> str:
    """A whole program on tensor cores, with bulk copies and barriers."""
    harness = load_task("trimul_cuda").folder / "harness"
    spec = importlib.util.spec_from_file_location("scaffold", harness / "scaffold.py")
    scaffold = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scaffold)
    drawn = {name: choices[0] for name, choices in scaffold.SPACE.items()} | knobs
    return scaffold.render(drawn, {"C": 128}, (harness / "prompts" / "kernel.md").read_text())

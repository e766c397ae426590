"""TriMul's schedules on a GPU, at shapes of the train split: right, whatever the knobs."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from sandbox_service.toolchains.cuda.block import CudaBench, Program, evaluate_cuda
from sandbox_service.toolchains.cuda.compiler import CudaCompiler
from sandbox_service.toolchains.cuda.source import launch_meta
from shared.box.open import open_box
from shared.tasks.draw_program import load_verifier
from shared.tasks.task import load_task
from tests.gpu.test_cuda_runner import REASON

pytestmark = pytest.mark.skipif(bool(REASON), reason=f"no device: {REASON}")
TASK = load_task("trimul_cuda")
HARNESS = TASK.folder / "harness"
KERNEL = (HARNESS / "prompts" / "kernel.md").read_text()
SHAPE = {"id": "one", "B": 2, "N": 192, "C": 128, "mask": "random", "distribution": "cauchy", "seed": 1}
WIDE = {**SHAPE, "B": 1, "C": 384, "distribution": "normal"}
LARGE = {"positions": 256, "ring": 20, "prefetch": 1, "sigmoid": "tanh", "tile_j": 256, "product_ring": 4}
LARGE |= {
    "cluster": 1,
    "product_blocks": 1,
    "finish_groups": 3,
    "finish_depth": 2,
    "finish_blocks": 1,
    "overlap": 0,
}
SMALL = {"positions": 64, "ring": 3, "prefetch": 0, "sigmoid": "exp", "tile_j": 64, "product_ring": 2}
SMALL |= {
    "cluster": 2,
    "product_blocks": 2,
    "finish_groups": 1,
    "finish_depth": 2,
    "finish_blocks": 2,
    "overlap": 1,
}


def scaffold():
    spec = importlib.util.spec_from_file_location("scaffold", HARNESS / "scaffold.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("shape", "schedule", "check"),
    [(SHAPE, LARGE, "final"), (SHAPE, SMALL, "public"), (WIDE, LARGE, "public"), (WIDE, SMALL, "public")],
)
def test_a_schedule_is_right_with_a_real_mask(shape: dict, schedule: dict, check: str, tmp_path: Path):
    verifier = load_verifier(TASK.folder)
    compiler = CudaCompiler(open_box(), tmp_path, arch=verifier.ARCH)
    naive = verifier.baseline({})
    plain = Program(compiler.cubin(naive, verifier.FLAGS).needed("baseline"), launch_meta(naive))
    source = scaffold().render(schedule, shape, KERNEL)
    rendered = compiler.cubin(source, verifier.FLAGS).needed("schedule")
    bench = CudaBench(verifier, TASK.manifest, np.random.default_rng(), compiler.canary(), tmp_path)
    candidates = [Program(rendered, launch_meta(source))]
    (found,) = evaluate_cuda(bench, shape, check, plain, candidates)
    assert found.outcome == "ok", found.detail

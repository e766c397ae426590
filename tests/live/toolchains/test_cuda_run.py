"""The whole loop with toolchain "cuda": real services, nvcc, the runner and its checks; numpy behind pycuda's
names, as there is no GPU. What a GPU does to a program is tested in tests/gpu/.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet.reports.show import show_run
from ratchet.runs.folder import find
from sandbox_service.toolchains.cuda.compiler import find_nvcc
from tests.parts.endpoint import Endpoint

HERE = Path(__file__).parent
RATCHET = str(Path(sys.executable).with_name("ratchet"))
HEAD = 'extern "C" __global__ void tiny(const float *a, const float *b, float *out, int n) {\n'
GOOD = HEAD + "int i = blockIdx.x * blockDim.x + threadIdx.x;\nif (i < n) out[i] = a[i] * b[i] + a[i];\n}\n"
BAD = HEAD + "nothing;\n}\n"
SMALL = ("run.generations=1", "rollouts.instances=4", "gate.screen_instances=2", "gate.max_pairs=2")


@pytest.mark.slow
@pytest.mark.skipif(find_nvcc() is None, reason="nvcc is not installed")
def test_a_run_compiles_times_scores_and_decides_on_a_simulated_gpu(tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(HERE / "simulated_gpu")}
    with Endpoint(lambda body: BAD if body["seed"] % 4 == 0 else GOOD) as endpoint:
        endpoint.lora_routes = False
        sets = [*SMALL, "gate.test_instances=4", f"model.url='{endpoint.url}'"]
        words = [RATCHET, "run", str(HERE / "tiny_cuda"), "--name", "gpu", "--json"]
        words += [word for setting in sets for word in ("--set", setting)]
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=170)
    assert done.returncode == 0, done.stderr
    assert "no device" not in done.stderr

    shown = json.loads(done.stdout)
    [generation] = shown["generations"]
    assert (shown["state"], generation["arms"]["base"]["n"]) == ("done", 2)
    assert generation["gate"]["decision"] in ("promoted", "rejected")
    assert shown["final"]["test"]["last"]["n"] == 4
    assert generation["cost"]["gpu_s"] > 0.01  # candidates held the GPU; nothing was trained, nothing served
    low = -1.0  # of what does not compile; what does is timed beside a baseline that is as fast
    assert low < shown["final"]["test"]["last"]["mean"] < 0.5
    assert show_run(find("gpu", tmp_path / "runs"))["state"] == "done"

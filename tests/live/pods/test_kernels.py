"""C kernels timed in pods: a pod for each candidate, with a baseline beside it and the clock in its first
process. The corpus of attacks on kernels runs against it, and what only a shared pod makes possible.
"""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ratchet.deploy.local_cluster import LocalCluster
from sandbox_service.attacks.corpus import CONTROL, TASK, attacks, kernel_source
from sandbox_service.attacks.finding import evaluate, seen
from sandbox_service.failure import CandidateFailedError
from sandbox_service.timed.kernel import Kernel, Quota
from sandbox_service.timed.kernel_sets import PODS, Stage, kernel_sets
from sandbox_service.toolchains.c.compiler import CCompiler
from sandbox_service.toolchains.cuda.compiler import find_nvcc
from sandbox_service.verify.layout import Arrays
from shared.box.open import open_box
from shared.box.pods.box import PodBox
from shared.errors import BoxError
from tests.live.pods.making import settings
from tests.parts.task_modules import load_module

KERNEL_TASK = Path(__file__).parents[1] / "toolchains" / "tiny_kernel"
CUDA_TASK = Path(__file__).parents[1] / "toolchains" / "tiny_cuda"
HOSTILE = Path(__file__).with_name("hostile.c")
INSTANCE = {"id": "one", "n": 100_000}
QUICK = """
#include <stdint.h>
void tiny(const float *a, const float *b, float *out, int64_t n) {
    for (int64_t i = 0; i < n; i++) { out[i] = a[i] * b[i] + a[i]; }
}
"""
SLOW = QUICK.replace("out[i] =", "for (volatile int k = 0; k < 100; k++) {} out[i] =")
KERNELS = [attack.name for attack in attacks() if attack.kind == "kernel"]
QUOTA = Quota(threads=2, memory_mb=512, cpu_s=60)
INPUTS: Arrays = {
    "dims": np.array([1000], np.int64),
    "a": np.ones(1000, np.float32),
    "b": np.ones(1000, np.float32),
}


@pytest.fixture
def boxes_are_pods(cluster: LocalCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    where = tmp_path / "boxes.json"
    where.write_text(settings(cluster).model_dump_json())
    monkeypatch.setenv("RATCHET_BOXES", str(where))
    open_box.cache_clear()
    yield
    open_box.cache_clear()


def _stage(box: PodBox, folder: Path, sources: list[str]) -> tuple[Stage, list[Path]]:
    verifier = load_module(KERNEL_TASK, "verifier.py")
    compiler = CCompiler(box, folder / "compiled")
    made = compiler.libraries(sources, verifier.CALL, verifier.FLAGS)
    stage = Stage(box, compiler.driver(), QUOTA, INPUTS, {"out": (1000,)})
    return stage, [made[source].needed("kernel") for source in sources]


def _loaded(kernels: list[Kernel]) -> list[Kernel]:
    for kernel in kernels:
        kernel.load(10.0)
        kernel.fill(INPUTS)
    return kernels


@pytest.mark.slow
@pytest.mark.usefixtures("boxes_are_pods")
def test_candidates_are_scored_by_their_speed_beside_the_baseline(tmp_path: Path) -> None:
    sources = {"quick": QUICK, "slow": SLOW, "wrong": QUICK.replace("+ a[i]", ""), "no program": "int"}
    sources |= {"crash": QUICK.replace("out[i] =", "out[-(1l << 40)] ="), "hang": QUICK.replace("i < n", "1")}

    found = evaluate(KERNEL_TASK, INSTANCE, sources, tmp_path)

    outcomes = {name: found[name].outcome for name in sources}
    wanted = {"quick": "ok", "slow": "ok", "wrong": "wrong", "no program": "compile_error"}
    assert outcomes == wanted | {"crash": "crashed", "hang": "crashed"}, found
    assert found["quick"].score > 0 > found["slow"].score


@pytest.mark.slow
@pytest.mark.usefixtures("boxes_are_pods")
@pytest.mark.skipif(find_nvcc() is None, reason="nvcc is not installed")
def test_cuda_candidates_are_compiled_in_one_pod_and_checked_on_the_cpu_in_another(tmp_path: Path) -> None:
    head = 'extern "C" __global__ void tiny(const float *a, const float *b, float *out, int n) {'
    honest = head + "int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) out[i] = a[i] * b[i] + a[i]; }"
    sources = {"honest": honest, "wrong": honest.replace(" + a[i]", ""), "no kernel": head}

    found = evaluate(CUDA_TASK, {"id": "one", "n": 500}, sources, tmp_path)

    outcomes = {name: found[name].outcome for name in sources}
    assert outcomes["wrong"] == "wrong", found
    assert outcomes["no kernel"] == "compile_error"
    assert found["honest"].detail.startswith("no device; right on the CPU") or outcomes["honest"] == "ok"


@pytest.mark.slow
@pytest.mark.usefixtures("boxes_are_pods")
def test_no_attack_on_kernels_is_rewarded_in_a_pod(tmp_path: Path) -> None:
    words = {
        "TROPHY": '"/tmp/trophy"',
        "SECRET_PATH": '"/etc/hostname"',
        "CACHE_FOLDER": '"/tmp"',
        "BLAS_PATH": '"/none"',
    }
    answers = {f"ANSWERS_{n}": "0" for n in (150, 160, 170)}
    sources = {name: kernel_source(name, words | answers) for name in [CONTROL, *KERNELS]}

    found = evaluate(TASK, {"id": "hidden", "n": 160}, sources, tmp_path)

    rewarded = {name for name in sources if found[name].outcome == "ok" and found[name].score > 0}
    assert rewarded == {CONTROL}, {name: seen(found[name]) for name in rewarded}


def test_a_candidate_can_t_touch_its_baseline_nor_the_clock(box: PodBox, tmp_path: Path) -> None:
    stage, (baseline, hostile) = _stage(box, tmp_path, [QUICK, HOSTILE.read_text()])
    with closing(kernel_sets(stage, [baseline], [hostile])) as sets:
        kernels = _loaded(next(sets))
        for kernel in kernels:
            kernel.run(10.0)

        assert kernels[1].outputs()["out"][:10].tolist() == [0.0] * 10
        assert (kernels[0].outputs()["out"] == 2).all()


def test_the_attempts_are_real_for_they_work_on_a_process_of_the_same_user(tmp_path: Path) -> None:
    program = tmp_path / "hostile"
    subprocess.run(["gcc", "-O2", str(HOSTILE), "-o", str(program)], check=True)
    with subprocess.Popen(["sleep", "60"]) as other:
        while not Path(f"/proc/{other.pid}/environ").read_bytes():  # the kernel sets it up at the end of exec
            time.sleep(0.01)
        done = subprocess.run([str(program), str(other.pid)], capture_output=True, text=True, check=True)
        other.kill()

    assert done.stdout.split() == ["1"] * 10


def test_what_a_kernel_writes_on_the_drivers_pipe_is_no_reply(box: PodBox, tmp_path: Path) -> None:
    early = QUICK.replace("#include <stdint.h>", "#include <stdint.h>\n#include <unistd.h>").replace(
        "for (int64_t i", "for (int h = 200; h < 210; h++) if (write(h, a, 8)) {}\n    for (int64_t i"
    )
    stage, libraries = _stage(box, tmp_path, [QUICK, early])
    with closing(kernel_sets(stage, libraries[:1], libraries[1:])) as sets:
        kernels = _loaded(next(sets))

        with pytest.raises(CandidateFailedError, match="wrote on the driver's pipe"):
            kernels[1].run(10.0)


def test_a_kernel_that_hangs_ends_at_its_deadline_and_the_baseline_goes_on(
    box: PodBox, tmp_path: Path
) -> None:
    stage, libraries = _stage(box, tmp_path, [QUICK, QUICK.replace("i < n", "i < n || (i = 0, 1)")])
    with closing(kernel_sets(stage, libraries[:1], libraries[1:])) as sets:
        ours, hangs = _loaded(next(sets))

        with pytest.raises(CandidateFailedError, match="no result after"):
            hangs.run(0.5)
        ours.run(10.0)
        assert (ours.outputs()["out"] == 2).all()


def test_a_pod_that_is_taken_away_is_no_fault_of_the_candidate(
    box: PodBox, cluster: LocalCluster, tmp_path: Path
) -> None:
    stage, libraries = _stage(box, tmp_path, [QUICK, SLOW])
    with closing(kernel_sets(stage, libraries[:1], libraries[1:])) as sets:
        _, candidate = _loaded(next(sets))
        (pod,) = cluster.pods()
        cluster.evict(pod["metadata"]["name"])

        with pytest.raises(BoxError, match="removed a box's pod: Evicted"):
            candidate.run(10.0)


def test_more_candidates_than_pods_at_a_time_all_have_their_turn_in_order(
    box: PodBox, cluster: LocalCluster, tmp_path: Path
) -> None:
    sources = [QUICK, *(QUICK.replace("+ a[i]", f"+ {number}") for number in range(PODS + 1))]
    stage, (baseline, *candidates) = _stage(box, tmp_path, sources)
    with closing(kernel_sets(stage, [baseline], candidates)) as sets:
        met = []
        for kernels in sets:
            assert len(cluster.pods()) <= PODS
            _loaded(kernels)[1].run(10.0)
            met.append(float(kernels[1].outputs()["out"][0]))

    assert met == [1.0 + number for number in range(PODS + 1)]


def test_a_pod_for_timing_has_a_core_for_each_thread_and_memory_for_both_programs(
    box: PodBox, cluster: LocalCluster, tmp_path: Path
) -> None:
    stage, libraries = _stage(box, tmp_path, [QUICK, SLOW])
    stage = replace(stage, quota=replace(QUOTA, threads=3))  # the template has 2
    with closing(kernel_sets(stage, libraries[:1], libraries[1:])) as sets:
        next(sets)
        (pod,) = cluster.pods()

    size = pod["spec"]["containers"][0]["resources"]
    assert size["requests"] == size["limits"], "QoS Guaranteed: with whole cores of its own"
    assert size["limits"]["cpu"] == "3"
    assert int(size["limits"]["memory"].removesuffix("Mi")) >= 2 * QUOTA.memory_mb
    assert pod["spec"]["containers"][0]["image"].startswith("ratchet/box-bare"), json.dumps(pod["spec"])

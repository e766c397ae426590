"""The rules of CUDA candidates, geometry and timing, apart from any compiler or GPU."""

import json

import pytest

from sandbox_service.timed import timing
from sandbox_service.toolchains.cuda import ptxas
from sandbox_service.toolchains.cuda import timing as cuda_timing
from sandbox_service.toolchains.cuda.launch import checked
from sandbox_service.toolchains.cuda.source import launch_meta, source_fault
from shared.errors import TaskError

KERNEL = 'extern "C" __global__ void k(float *out) { out[threadIdx.x] = 1; }\n'
# nvcc 13.0's messages on two kernels with -Xptxas -v; the second one's numbers are made up to hold spills.
MESSAGES = """
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'sums' for 'sm_90'
ptxas info    : Function properties for sums
    1200 bytes stack frame, 20 bytes spill stores, 24 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers, 1200 bytes cumulative stack size
ptxas info    : Compile time = 96.172 ms
ptxas info    : Compiling entry function 'add' for 'sm_90'
ptxas info    : Function properties for add
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 10 registers, used 1 barriers, 256 bytes smem
ptxas info    : Compile time = 1.849 ms
"""


def test_figures_of_each_kernel_are_read_from_ptxas():
    found = ptxas.parse(MESSAGES)

    assert found["sums"] == ptxas.KernelFigures(registers=40, stack_bytes=1200, spill_bytes=44)
    assert found["add"] == ptxas.KernelFigures(registers=10, barriers=1, shared_bytes=256)
    assert ptxas.as_metrics(found)["spill_bytes.sums"] == 44
    assert "44 bytes SPILLED" in ptxas.as_text(found)
    assert ptxas.parse("nvcc warning : something else") == {}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (KERNEL + "int main() { return 0; }", "main function"),
        (KERNEL + "void f() { k<<<1, 1>>>(0); }", "kernel launch"),
        (KERNEL + "__host__ int f();", "host code"),
        (KERNEL + "void f() { cudaMalloc(0, 1); }", "CUDA runtime"),
        (KERNEL + "void f() { cuLaunchKernel(); }", "CUDA driver"),
        ("#include <stdio.h>\n" + KERNEL, "<stdio.h> is not allowed"),
        ('#include "/etc/passwd"\n' + KERNEL, "is not allowed"),
        ("#/**/include </etc/passwd>\n" + KERNEL, "is not allowed"),
        ("#inc\\\nlude </etc/passwd>\n" + KERNEL, "is not allowed"),
        ("%:include </etc/passwd>\n" + KERNEL, "is not allowed"),
        ("#define F <stdio.h>\n#include F\n" + KERNEL, "is not allowed"),
        ('const char *s = "/*";\n#include <stdio.h>\n// */\n' + KERNEL, "is not allowed"),
        ("__device__ int f() { return 1; }", "no entry point"),
        ("// __global__ in a comment only", "no entry point"),
        (KERNEL + "\0", "NUL"),
    ],
)
def test_what_is_not_device_code_alone_is_refused_with_its_reason(source: str, reason: str):
    assert reason in source_fault(source)


def test_honest_device_code_is_taken_with_what_it_may_include():
    honest = "#include <cuda_fp16.h>\n # include <mma.h>\n// k<<<1, 1>>> is how main() would do it\n" + KERNEL
    assert source_fault(honest) == ""


def test_geometry_is_read_from_one_json_line():
    assert launch_meta(KERNEL) == {}
    assert launch_meta('// launch: {"k": {"block": [64]}}\n' + KERNEL) == {"k": {"block": [64]}}
    for line in (
        "// launch: {",
        "// launch: [1]",
        "// launch: {}\n// launch: {}",
        "// launch: " + "[" * 3000,
    ):
        with pytest.raises(ValueError, match="launch:"):
            launch_meta(line + "\n" + KERNEL)


def launch(**changes: object) -> dict[str, object]:
    plain = {"kernel": "k", "grid": [1, 1, 1], "block": [32, 1, 1], "shared_bytes": 0, "args": ["out"]}
    return {**plain, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"block": [2048, 1, 1]},
        {"block": [32, 32, 2]},
        {"block": [1, 1, 65]},
        {"block": [0, 1, 1]},
        {"grid": [1, 65536, 1]},
        {"grid": [-1, 1, 1]},
        {"grid": [2**31 - 1, 65535, 1]},
        {"shared_bytes": 1 << 20},
        {"shared_bytes": -1},
        {"cluster": [3, 3, 1], "grid": [9, 9, 1]},
        {"cluster": [0, 1, 1]},
        {"cluster": [2, 1, 1], "grid": [3, 1, 1]},
        {"overlaps": True},
    ],
)
def test_geometry_outside_of_cudas_limits_is_the_candidates_fault(changes: dict[str, object]):
    with pytest.raises(ValueError, match=r"k:|shared_bytes"):
        checked("task", [launch(**changes)], {"out"})


@pytest.mark.parametrize(
    "changes", [{"args": ["nothing"]}, {"grid": "all"}, {"args": [{"f64": 1}]}, {"overlaps": 1}]
)
def test_a_malformed_launch_is_the_tasks_fault(changes: dict[str, object]):
    with pytest.raises(TaskError, match="task"):
        checked("task", [launch(**changes)], {"out"})


def test_launches_survive_the_way_between_processes():
    clustered = launch(grid=[4, 2, 1], cluster=[2, 2, 1], overlaps=True)
    made = checked("task", [launch(args=["out", {"i32": 3}, {"f32": 0.5}]), clustered], {"out"})
    again = json.loads(json.dumps([item.model_dump(mode="json") for item in made]))
    assert checked("task", again, {"out"}) == made


def test_baseline_and_candidate_are_timed_in_mirrored_order():
    import numpy as np

    orders = timing.orders(2, cuda_timing.rounds_for("final"), np.random.default_rng(1))
    assert len(orders) % 2 == 0
    assert all(first == second[::-1] for first, second in zip(orders[::2], orders[1::2], strict=True))


@pytest.mark.parametrize(
    ("event_s", "wall_s", "parent_s", "agree"),
    [
        (1e-3, 1.02e-3, 1.5e-3, True),
        (50e-6, 90e-6, 1e-3, True),  # short: launching is most of what the host sees
        (1.0, 1.001, 1.01, True),
        (1e-3, 5e-3, 6e-3, False),  # work that the events did not see
        (5e-3, 1e-3, 2e-3, False),
        (0.0, 1e-3, 2e-3, False),
        (-1e-3, 1e-3, 2e-3, False),
        (float("nan"), 1e-3, 2e-3, False),
        (1e-3, 1.02e-3, 0.5e-3, False),  # the runner claims more than passed
        (1e-3, 1.02e-3, 0.9, False),  # the parent waited for something else
    ],
)
def test_three_clocks_must_tell_the_same_story(event_s: float, wall_s: float, parent_s: float, agree: bool):
    assert (cuda_timing.clock_fault(event_s, wall_s, parent_s) == "") is agree


def test_one_time_under_the_floor_spoils_all():
    assert cuda_timing.floor_fault([1.1e-3, 1.0e-3], 1e-3) == ""
    assert "physical floor" in cuda_timing.floor_fault([1.1e-3, 0.5e-3], 1e-3)


def test_a_gpu_is_faulty_only_when_no_canary_passes():
    assert cuda_timing.health([]) == "again"
    assert cuda_timing.health([False]) == "again"
    assert cuda_timing.health([False, True]) == "well"
    assert cuda_timing.health([False, False]) == "faulty"


def test_idleness_is_no_throttling():
    assert not cuda_timing.throttled(0x1)
    assert cuda_timing.throttled(0x4 | 0x1)

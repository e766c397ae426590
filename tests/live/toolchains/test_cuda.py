"""CUDA candidates through the whole evaluator on a machine without a GPU: nvcc in the box, then the CPU."""

from pathlib import Path

import pytest

from sandbox_service.toolchains.cuda.compiler import CudaCompiler, find_nvcc
from shared.box.open import open_box
from shared.errors import TaskError, ToolMissingError
from shared.messages.records import Evaluation
from shared.tasks.task import load_task
from tests.parts.cuda import (
    AT,
    HEAD,
    HONEST,
    TRIMUL,
    assert_ends_as,
    evaluate,
    evaluate_corpus,
    on_cpu,
    rendered,
)
from tests.parts.slow import chosen, one_in

NAIVE = (Path(__file__).parents[3] / "tasks" / "trimul_cuda" / "naive.cu").read_text()
SWAPPED = HEAD + AT + "__shared__ float s[256]; s[threadIdx.x] = i < n ? a[i] : 0; {sync}"
SWAPPED += "float v = s[255 - threadIdx.x]; {sync} s[threadIdx.x] = v; {sync} v = s[255 - threadIdx.x];"
SWAPPED += "if (i < n) out[i] = v * b[i] + v; }"
NEIGHBOUR = (
    HEAD + AT + "__shared__ float s[256]; s[threadIdx.x] = 1; float v = threadIdx.x ? s[threadIdx.x - 1] : 1;"
)
NEIGHBOUR += "if (i < n) out[i] = v * a[i] * b[i] + v * a[i]; }"
WARP = HEAD + AT + "float v = __shfl_xor_sync(~0u, i < n ? a[i] : 0, 1); v = __shfl_xor_sync(~0u, v, 1);"
WARP += "if (i < n) out[i] = v * b[i] + v; }"
DYNAMIC = HEAD + AT + "extern __shared__ float s[]; s[threadIdx.x] = i < n ? a[i] : 0; __syncthreads();"
DYNAMIC += "if (i < n) out[i] = s[threadIdx.x] * b[i] + s[threadIdx.x]; }"
HALF = (
    "#include <cuda_fp16.h>\n" + HEAD + AT + "if (i < n) out[i] = a[i] * b[i] + a[i]; half h = 1; (void)h; }"
)
# Thread 32 writes over what the first warp has read.
SIGNAL = (
    "#include <hopper.h>\n"
    + HEAD
    + AT
    + """__shared__ float s[32]; __shared__ uint64_t read;
if (threadIdx.x == 0) { hopper::barrier_init(&read, 1); hopper::barriers_ready(); }
if (threadIdx.x < 32) s[threadIdx.x] = 1;
__syncthreads();
float v = 1;
if (threadIdx.x < 32) { v = s[threadIdx.x]; {sync} if (threadIdx.x == 0) hopper::arrive(&read); }
else if (threadIdx.x == 32) { hopper::wait(&read, 0); for (int k = 0; k < 32; k++) s[k] = -1; }
if (i < n) out[i] = v * a[i] * b[i] + v * a[i]; }"""
)
TENSOR = "#include <mma.h>\n" + HONEST
FOREVER = HEAD + "if (threadIdx.x) __syncthreads(); else __syncwarp(); }"
CORPUS = {
    "honest": ("not_timed", "right on the CPU", HONEST),
    "uses shared memory": ("not_timed", "right on the CPU", SWAPPED.replace("{sync}", "__syncthreads();")),
    "lacks a barrier": ("wrong", "on the CPU", SWAPPED.replace("{sync}", "")),
    "lacks a barrier that the first order of threads does not need": ("wrong", "on the CPU", NEIGHBOUR),
    "shuffles": ("not_timed", "right on the CPU", WARP),
    "has dynamic shared memory": ("not_timed", "right on the CPU", DYNAMIC),
    "uses half precision": ("not_timed", "right on the CPU", HALF),
    "uses tensor cores": ("not_timed", "correctness is not known", TENSOR),
    "signals when its warp has read": (
        "not_timed",
        "right on the CPU",
        SIGNAL.replace("{sync}", "__syncwarp();"),
    ),
    "signals before its warp has read": ("wrong", "on the CPU", SIGNAL.replace("{sync}", "")),
    "waits for ever": ("crashed", "on the CPU", FOREVER),
    "does not compile": ("compile_error", "nothing", HEAD + "out[0] = nothing; }"),
    "has another name": ("compile_error", "no kernel named tiny", HONEST.replace("tiny", "other")),
    "answers wrongly": ("wrong", "elements are off", HONEST.replace(" + a[i]", "")),
    "writes nothing": ("no_output", "wrote nothing", HEAD + "}"),
    "crashes": ("crashed", "", HEAD + "*(volatile int *)8 = 1; }"),
    "is host code": ("refused", "main function", HONEST + "\nint main() { return 0; }"),
    "includes the host": ("refused", "not allowed", "#include </etc/passwd>\n" + HONEST),
    "has absurd geometry": (
        "refused",
        "block [4096, 1, 1] is outside",
        '// launch: {"threads": 4096}\n' + HONEST,
    ),
    "has no geometry at all": ("refused", "not JSON", "// launch: none\n" + HONEST),
    "is not UTF-8": ("refused", "UTF-8", HONEST + "\udcff"),
    "is too long": ("refused", "bytes", HONEST + " " * (64 << 10)),
    "grows in the compiler": (
        "compile_error",
        "",
        "template <int N> struct T { typedef typename T<N + 1>::X X; };\n" + HONEST + "\ntypedef T<0>::X Y;",
    ),
}


pytestmark = pytest.mark.skipif(find_nvcc() is None, reason="nvcc is not installed")


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evaluation]:
    names = {"honest", "uses shared memory", *chosen(request, "name")}
    corpus = {name: candidate for name, candidate in CORPUS.items() if name in names}
    return evaluate_corpus(corpus, tmp_path_factory.mktemp("cuda"))


@on_cpu
@pytest.mark.parametrize("name", one_in(2, CORPUS))
def test_a_candidate_ends_as_what_it_is(name: str, found: dict[str, Evaluation]):
    assert_ends_as(CORPUS[name], found[name])


@on_cpu
def test_without_a_device_there_is_never_a_score(found: dict[str, Evaluation]):
    assert {evaluation.score for evaluation in found.values()} == {-1.0}
    assert not any("speedup" in evaluation.metrics for evaluation in found.values())
    assert "no device" in found["honest"].detail


@on_cpu
def test_registers_and_spills_stand_beside_the_evaluation(found: dict[str, Evaluation]):
    assert found["honest"].metrics["registers.tiny"] > 0
    assert found["uses shared memory"].metrics["shared_bytes.tiny"] == 1024
    assert "registers" in found["honest"].detail


@pytest.mark.slow
@on_cpu
def test_the_plain_triangle_is_right_and_one_without_barriers_or_mask_is_not(tmp_path: Path):
    unmasked = NAIVE.replace("mask[first + r]", "1.0f")
    found = evaluate(
        load_task("trimul_cuda").folder,
        TRIMUL,
        tmp_path,
        NAIVE,
        NAIVE.replace("__syncthreads();", ""),
        unmasked,
    )
    assert [evaluation.outcome for evaluation in found] == ["not_timed", "wrong", "wrong"]


@pytest.fixture(scope="module")
def schedule() -> str:
    return rendered()


@pytest.mark.slow
@on_cpu
def test_a_schedule_on_tensor_cores_is_right_on_the_cpu_and_never_scored(schedule: str, tmp_path: Path):
    (found,) = evaluate(load_task("trimul_cuda").folder, TRIMUL, tmp_path, schedule)
    assert (found.outcome, found.score) == ("not_timed", 0.0)
    assert "right on the CPU" in found.detail


@pytest.mark.slow
@on_cpu
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("(chunk ^ (line & 7)) * 8", "chunk * 8"),  # tiles whose chunks are not turned
        ("0.5f * mask[at.line + p]", "0.5f"),  # no mask
        (
            "        hopper::wait(full + slot, (count / PRODUCT_RING) & 1);\n",
            "",
        ),  # a tile that is not there yet
    ],
)
def test_a_schedule_with_a_fault_is_wrong_on_the_cpu(schedule: str, right: str, wrong: str, tmp_path: Path):
    assert right in schedule
    (found,) = evaluate(load_task("trimul_cuda").folder, TRIMUL, tmp_path, schedule.replace(right, wrong))
    assert found.outcome in ("wrong", "crashed"), found.detail


def test_an_architecture_that_nvcc_does_not_know_is_the_tasks_mistake(tmp_path: Path):
    with pytest.raises(TaskError, match="sm_999"):
        CudaCompiler(open_box(), tmp_path, arch="sm_999").canary()


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_other_architectures_compile_by_name(arch: str, tmp_path: Path):
    assert CudaCompiler(open_box(), tmp_path, arch=arch).canary().stat().st_size > 0


def test_a_missing_nvcc_is_named_and_nothing_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sandbox_service.toolchains.cuda.compiler.PLACES", ())
    with pytest.raises(ToolMissingError, match="nvcc is not installed"):
        CudaCompiler(open_box(), tmp_path, arch="sm_90")

"""CUDA candidates through the whole evaluator on a machine without a GPU: nvcc in the box, then the CPU."""

import importlib.util
from pathlib import Path

import pytest

from sandbox_service.evaluate import Evaluator
from sandbox_service.toolchains.cuda.compiler import CudaCompiler, find_nvcc
from sandbox_service.toolchains.cuda.process import CudaKernel, NoDeviceError
from shared.box.open import open_box
from shared.errors import TaskError, ToolMissingError
from shared.messages.records import Block, CandidateBatch, Evaluation
from shared.store.store import LocalStore
from shared.tasks.task import load_task

TINY = Path(__file__).parent / "tiny_cuda"
NAIVE = (Path(__file__).parents[3] / "tasks" / "trimul_cuda" / "naive.cu").read_text()
TRIMUL = {"id": "t", "B": 1, "N": 192, "C": 128, "mask": "random", "distribution": "normal", "seed": 1}
HEAD = 'extern "C" __global__ void tiny(const float *a, const float *b, float *out, int n) {\n'
AT = "int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
HONEST = HEAD + AT + "if (i < n) out[i] = a[i] * b[i] + a[i]; }"
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
CLUSTER = (
    """// launch: {"cluster": 4}
#include <hopper.h>
__device__ float of(const float *a, int at, int n) { return at < n ? a[at] : 0; }
"""
    + HEAD
)
# Each block gives the next one what that one needs, which then says that it has read it.
PASSED_ON = (
    CLUSTER
    + AT
    + """__shared__ float s[256]; __shared__ uint64_t read;
unsigned rank = hopper::cluster_rank(), next = (rank + 1) % hopper::cluster_blocks();
if (threadIdx.x == 0) { hopper::barrier_init(&read, 256); hopper::barriers_ready(); }
hopper::cluster_meet();
int theirs = (blockIdx.x - rank + next) * 256 + threadIdx.x;
hopper::of_block(s, next)[threadIdx.x] = of(a, theirs, n);
hopper::cluster_meet();
float v = s[threadIdx.x];
hopper::arrive_at(&read, next);
hopper::wait(&read, 0);
s[threadIdx.x] = -1;
if (i < n) out[i] = v * b[i] + v;
hopper::cluster_meet(); }"""
)
# The first block loads for all four at once;
MULTICAST = (
    CLUSTER
    + AT
    + """__shared__ __align__(16) float s[256]; __shared__ uint64_t there;
if (threadIdx.x == 0) { hopper::barrier_init(&there, 1); hopper::barriers_ready(); }
hopper::cluster_meet();
if (threadIdx.x == 0) {
    hopper::arrive_expect(&there, 1024);
    if (hopper::cluster_rank() == 0) hopper::bulk_load_to(s, b, 1024, &there, RANKS);
}
hopper::wait(&there, 0);
float first = s[threadIdx.x];
if (i < n) out[i] = a[i] * b[i] + a[i] + (first - b[threadIdx.x]);
hopper::cluster_meet(); }"""
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
    "hands on within a cluster": ("not_timed", "right on the CPU", PASSED_ON),
    "lacks a meeting of the cluster": (
        "wrong",
        "on the CPU",
        PASSED_ON.replace("hopper::cluster_meet();\nfloat v", "float v"),
    ),
    "signals the wrong block": ("crashed", "on the CPU", PASSED_ON.replace("&read, next", "&read, 0")),
    "names a block that is not there": (
        "crashed",
        "on the CPU",
        PASSED_ON.replace("% hopper::cluster_blocks()", ""),
    ),
    "loads for a whole cluster": ("not_timed", "right on the CPU", MULTICAST.replace("RANKS", "15")),
    "loads for half of a cluster": ("crashed", "on the CPU", MULTICAST.replace("RANKS", "3")),
    "has too large a cluster": (
        "refused",
        "1 to 8 blocks",
        PASSED_ON.replace('"cluster": 4', '"cluster": 16'),
    ),
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


def without_a_gpu() -> bool:
    try:
        with CudaKernel():
            return False
    except NoDeviceError:
        return True


pytestmark = pytest.mark.skipif(find_nvcc() is None, reason="nvcc is not installed")
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


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evaluation]:
    folder = tmp_path_factory.mktemp("cuda")
    sources = [source for _, _, source in CORPUS.values()]
    made = evaluate(TINY, {"id": "one", "n": 100_000}, folder, *sources)
    return dict(zip(CORPUS, made, strict=True))


@on_cpu
@pytest.mark.parametrize("name", CORPUS)
def test_a_candidate_ends_as_what_it_is(name: str, found: dict[str, Evaluation]):
    outcome, message, _ = CORPUS[name]
    assert found[name].outcome == outcome, found[name].detail
    assert message in found[name].detail
    assert len(found[name].detail) <= 1500


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


def rendered(**knobs: object) -> str:
    """A whole program on tensor cores, with bulk copies and barriers."""
    harness = load_task("trimul_cuda").folder / "harness"
    spec = importlib.util.spec_from_file_location("scaffold", harness / "scaffold.py")
    scaffold = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scaffold)
    drawn = {name: choices[0] for name, choices in scaffold.SPACE.items()} | knobs
    return scaffold.render(drawn, {"C": 128}, (harness / "prompts" / "kernel.md").read_text())


@pytest.fixture(scope="module")
def schedule() -> str:
    return rendered()


@pytest.fixture(scope="module")
def clustered() -> str:
    """Pairs of blocks that share what they fetch, four in all; gates two at a time; kernels that overlap."""
    text = rendered(cluster=2, sigmoid="pair", overlap=1)
    assert '"project": {"blocks": 132' in text
    return text.replace('"project": {"blocks": 132', '"project": {"blocks": 4')


@on_cpu
def test_blocks_of_a_cluster_fetch_for_each_other(clustered: str, tmp_path: Path):
    (found,) = evaluate(load_task("trimul_cuda").folder, TRIMUL, tmp_path, clustered)
    assert (found.outcome, found.score) == ("not_timed", 0.0)
    assert "right on the CPU" in found.detail


@pytest.mark.slow
@on_cpu
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("(1 << CLUSTER) - 1", "1"),  # the second block waits for what was brought to the first alone
        ("rank < CLUSTER; rank++", "rank < 1; rank++"),  # stages are given back to one block alone
        ("hopper::cluster_rank() * part", "0 * part"),  # both bring the same part
        ("    hopper::wait_previous();\n", ""),
        ("const int first = blockIdx.x / CLUSTER * CLUSTER", "const int first = blockIdx.x"),
    ],
)
def test_a_cluster_with_a_fault_is_wrong_on_the_cpu(clustered: str, right: str, wrong: str, tmp_path: Path):
    assert right in clustered
    (found,) = evaluate(load_task("trimul_cuda").folder, TRIMUL, tmp_path, clustered.replace(right, wrong))
    assert found.outcome in ("wrong", "crashed"), found.detail


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

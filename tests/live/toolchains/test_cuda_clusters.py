"""CUDA candidates whose blocks share what they hold, and kernels that overlap, on a machine without a GPU:
the stand-in says which are right."""

from pathlib import Path

import pytest

from sandbox_service.toolchains.cuda.compiler import find_nvcc
from shared.messages.records import Evaluation
from shared.tasks.task import load_task
from tests.parts.cuda import (
    AT,
    HEAD,
    TRIMUL,
    assert_ends_as,
    evaluate,
    evaluate_corpus,
    on_cpu,
    rendered,
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
# The first block loads for all four at once.
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
CORPUS = {
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
}
pytestmark = pytest.mark.skipif(find_nvcc() is None, reason="nvcc is not installed")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evaluation]:
    return evaluate_corpus(CORPUS, tmp_path_factory.mktemp("cuda"))


@on_cpu
@pytest.mark.parametrize("name", CORPUS)
def test_a_cluster_ends_as_what_it_is(name: str, found: dict[str, Evaluation]):
    assert_ends_as(CORPUS[name], found[name])


@pytest.fixture(scope="module")
def clustered() -> str:
    """Pairs of blocks that share what they fetch, four in all; gates two at a time; kernels that overlap."""
    text = rendered(cluster=2, sigmoid="pair", overlap=1)
    assert '"project": {"blocks": 132' in text
    return text.replace('"project": {"blocks": 132', '"project": {"blocks": 4')


@pytest.mark.slow
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
        ("rank < CLUSTER; rank++", "rank < 1; rank++"),  # stages are released to one block alone
        ("hopper::cluster_rank() * part", "0 * part"),  # both bring the same part
        ("    hopper::wait_previous();\n", ""),
        ("const int first = blockIdx.x / CLUSTER * CLUSTER", "const int first = blockIdx.x"),
    ],
)
def test_a_cluster_with_a_fault_is_wrong_on_the_cpu(clustered: str, right: str, wrong: str, tmp_path: Path):
    assert right in clustered
    (found,) = evaluate(load_task("trimul_cuda").folder, TRIMUL, tmp_path, clustered.replace(right, wrong))
    assert found.outcome in ("wrong", "crashed"), found.detail

"""The CUDA task's shapes, floors and geometry."""

import math
from pathlib import Path
from typing import Any

import pytest

from sandbox_service.toolchains.cuda.launch import checked
from shared.tasks.draw_program import load_verifier

FOLDER = Path(__file__).parents[4] / "tasks" / "trimul_cuda"
# Published arithmetic: microseconds below which no H200 and no H100 can be, by B, N, C.
FLOORS = {
    (2, 256, 128): (44, 49),
    (1, 768, 128): (294, 331),
    (2, 256, 384): (109, 139),
    (1, 512, 128): (109, 123),
    (1, 1024, 128): (609, 687),
    (1, 768, 384): (587, 663),
    (1, 1024, 384): (1131, 1276),
}


@pytest.fixture(scope="module")
def verifier() -> Any:
    return load_verifier(FOLDER)


def test_floors_are_those_of_the_arithmetic(verifier: Any):
    for (b, n, c), by_device in FLOORS.items():
        shape = {"B": b, "N": n, "C": c}
        for device, floor_us in zip(("NVIDIA H200", "NVIDIA H100 80GB HBM3"), by_device, strict=True):
            assert verifier.floor_s(shape, device) * 1e6 == pytest.approx(floor_us, abs=1)
        assert verifier.floor_s(shape, "a device of the future") < verifier.floor_s(shape, "NVIDIA H200")


def test_the_test_split_is_the_benchmarks_shapes_with_real_masks(verifier: Any):
    drawn = verifier.draw("test", 100, 3)
    assert {(one["B"], one["N"], one["C"]) for one in drawn} == set(FLOORS)
    assert {one["mask"] for one in drawn} == {"random"}


def test_no_two_splits_share_an_n(verifier: Any):
    lines = [{one["N"] for one in verifier.draw(split, 200, 1)} for split in ("train", "gate", "test")]
    assert len(set.union(*lines)) == sum(map(len, lines))


def test_grids_cover_every_shape(verifier: Any):
    shape = {"B": 2, "N": 11, "C": 96}
    buffers = {*verifier.scratch(shape), "out", "x", "mask", "ln1_w", "ln1_b", "ln2_w", "ln2_b", "wout"}
    buffers |= {"wl", "wr", "wlg", "wrg", "wog"}
    project, product, finish = checked("trimul_cuda", verifier.launch(shape, {}), buffers)
    assert project.grid == (math.ceil(2 * 11 * 11 / 8), 1, 1)
    assert product.grid == (3, 3, 1)
    assert finish.grid == (math.ceil(2 * 11 * 11 / 8), 1, 1)


def test_weights_are_prepared_where_it_is_asked_for_and_blocks_may_be_counted(verifier: Any):
    launches = verifier.launch({"B": 1, "N": 64, "C": 128}, {"prepare": {}, "product": {"blocks": 132}})
    assert [launch["kernel"] for launch in launches] == ["prepare", "project", "product", "finish"]
    assert launches[2]["grid"] == [132, 1, 1]


def test_a_grid_is_whole_clusters_and_a_kernel_may_overlap_the_one_before(verifier: Any):
    asked = {
        "product": {"tile": [8, 8], "cluster": [2, 3], "overlaps": True},
        "finish": {"blocks": 132, "cluster": [8]},
    }
    project, product, finish = verifier.launch({"B": 1, "N": 33, "C": 128}, asked)
    assert (project["cluster"], project["overlaps"]) == ([1, 1, 1], False)
    assert (product["grid"][:2], product["cluster"], product["overlaps"]) == ([6, 6], [2, 3, 1], True)
    assert finish["grid"] == [136, 1, 1]


@pytest.mark.parametrize(
    "meta",
    [
        {"project": {"cluster": 2}},
        {"product": {"cluster": [0]}},
        {"finish": {"overlaps": 1}},
        {"warm_up": {}},
        {"product": {"blocks": 0}},
        {"product": {"blocks": 1 << 20}},
        {"product": {"blocks": "132"}},
        {"project": 3},
        {"project": {"grid": [1]}},
        {"project": {"tile": [0]}},
        {"project": {"tile": [True]}},
        {"project": {"tile": [1, 2, 3]}},
        {"product": {"block": [2048]}},
        {"product": {"block": [1]}},
        {"finish": {"shared_bytes": 1 << 20}},
    ],
)
def test_geometry_out_of_bounds_is_named(verifier: Any, meta: dict[str, Any]):
    with pytest.raises(ValueError, match=r"warm_up|project|product|finish"):
        verifier.launch({"B": 1, "N": 64, "C": 128}, meta)

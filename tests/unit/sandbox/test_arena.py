"""The memory that a kernel shares with its parent, with a hostile holder of the file."""

import os

import numpy as np
import pytest

from sandbox_service.timed.arena import Arena
from sandbox_service.verify.layout import Layout, unwritten

INPUTS = {"dims": np.array([5], np.int64), "x": np.arange(5000, dtype=np.float32)}
SHAPES = {"y": (2, 700), "z": (3,)}


@pytest.fixture
def arena():
    with Arena(INPUTS, SHAPES) as found:
        found.fill(INPUTS)
        yield found


def test_every_array_lies_at_a_page_of_its_own_and_holds_what_was_put_there(arena: Arena):
    offsets = [*arena.input_offsets, *arena.output_offsets]
    assert offsets == [0, 4096, 4096 * 6, 4096 * 8]
    held = np.fromfile(arena.path, np.float32, count=5000, offset=4096)
    assert np.array_equal(held, INPUTS["x"])


def test_unwritten_outputs_are_distinguished_from_a_kernel_s_own_nan(arena: Arena):
    with arena.path.open("r+b") as file:
        file.seek(arena.output_offsets[0])
        file.write(np.full(100, np.nan, np.float32).tobytes())
    found = arena.outputs()
    assert found["y"].shape == (2, 700)
    assert unwritten(found["y"]) == 1300
    assert unwritten(found["z"]) == 3
    assert np.isnan(found["y"]).all()


def test_a_file_that_was_cut_reads_as_unwritten_and_can_be_filled_again(arena: Arena):
    os.truncate(arena.path, 10)
    assert unwritten(arena.outputs()["y"]) == 1400
    arena.fill(INPUTS)
    assert np.array_equal(np.fromfile(arena.path, np.int64, count=1), [5])


def test_the_file_goes_with_the_arena():
    with Arena(INPUTS, SHAPES) as found:
        path = found.path
    assert not path.exists()


def test_outputs_that_are_missing_at_the_end_read_as_poison() -> None:
    layout = Layout({"x": np.zeros(1, np.float32)}, {"y": (100,)})

    assert unwritten(layout.unpacked(bytes(4 * 60 + 3))["y"]) == 40

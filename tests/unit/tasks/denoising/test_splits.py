"""The splits of cells and molecules in the denoising task."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.parts.denoising import TASK, part

matrices = part("data").matrices


def test_splits_never_share_a_cell_and_blocks_of_a_round_neither():
    verifier = part("verifier")
    cells: dict[str, set[int]] = {}
    for split in ("train", "gate", "test"):
        first, second, third = (set(matrices.cells_of(instance)) for instance in verifier.draw(split, 3, 5))
        assert not first & second
        assert first & third  # the next round deals the same pool anew
        cells[split] = first | second | third
    assert not cells["train"] & cells["gate"]
    assert not (cells["train"] | cells["gate"]) & cells["test"]


def test_only_who_holds_the_secret_can_repeat_a_split_of_molecules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    verifier = part("verifier")
    instance = verifier.draw("train", 1, 5)[0]

    def split(**more: str) -> float:
        inputs = verifier.make_inputs(instance | more, np.random.default_rng())
        return float((inputs["counts"] @ np.arange(1, inputs["counts"].shape[1] + 1)).sum())

    assert split() != split()  # no secret, no way
    shutil.copy(TASK / "data" / "index.json", tmp_path / "index.json")
    monkeypatch.setattr(matrices, "DATA", tmp_path)
    (tmp_path / "secret").write_text("one")
    known = split()
    assert split() == known == split(check="final")
    assert split(check="public") != known  # what was tried is not what is scored
    (tmp_path / "secret").write_text("two")
    assert split() != known


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"matrix": "mine"}, "unknown matrix 'mine'; known: pbmc68k_reduced"),
        ({"place": 99}, "there are no 105 cells at place 99"),
        ({"cells": -1}, "must be whole numbers"),
        ({"cells": 0}, "there are no 0 cells"),
    ],
)
def test_an_instance_that_does_not_fit_the_matrices_is_refused_before_a_run(change, reason: str):
    verifier = part("verifier")
    instance = verifier.draw("train", 1, 5)[0]
    assert verifier.check_instance(instance) == ""
    assert reason in verifier.check_instance(instance | change)
    assert "has no seed" in verifier.check_instance({k: v for k, v in instance.items() if k != "seed"})

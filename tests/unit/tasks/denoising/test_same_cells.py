"""Cells that stand in two matrices, or twice in one, are never learned on and tested on."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from tests.parts.denoising import made_counts, part
from tests.unit.tasks.denoising.writers import CELLS, COUNTS, GENES, write_npz

data = part("data")
folders, matrix = (sys.modules[f"count_matrices.{name}"] for name in ("folders", "matrix"))


def summary_of(source: Path, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "into" / "data").mkdir(parents=True, exist_ok=True)
    found, left = folders.found_files(source)
    return data.write(found, tmp_path / "into" / "data", False, left)


def named(path: Path, counts: sparse.csr_matrix, cells: list[str], genes: list[str] = GENES) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_npz(path, counts, genes=np.array(genes), cells=np.array(cells))


OTHER = made_counts(cells=70, genes=60, seed=5)


def drawn_apart(tmp_path: Path, **matrices: tuple[Any, ...]) -> dict[str, Any]:
    for name, parts in matrices.items():
        named(tmp_path / "from" / f"{name.replace('__', '/')}.npz", *parts)
    return summary_of(tmp_path / "from", tmp_path)


def test_raw_beside_filtered_is_left_out(tmp_path: Path):
    raw = sparse.vstack([COUNTS, made_counts(cells=200, genes=60, seed=9)], format="csr")
    summary = drawn_apart(tmp_path, filtered=(COUNTS, CELLS), raw=(raw, [f"r{i}" for i in range(290)]))
    assert list(summary["matrices"]) == ["filtered"]
    assert "raw: 90 of its 290 cells stand in filtered, too: left out" in summary["warnings"][-1]


@pytest.mark.parametrize("genes", [list(range(60)), list(range(0, 60, 2)), list(reversed(range(60)))])
def test_a_subset_beside_the_whole_is_left_out_whatever_genes_it_kept(genes: list[int], tmp_path: Path):
    part_of = COUNTS[10:80][:, genes]
    summary = drawn_apart(
        tmp_path, whole=(COUNTS, CELLS), some=(part_of, CELLS[:70], [GENES[i] for i in genes])
    )
    assert list(summary["matrices"]) == ["whole"]


def test_the_same_cells_under_other_names_of_genes_are_known_again(tmp_path: Path):
    deep = made_counts(cells=90, genes=60, depth=2000)
    renamed = [f"ENSG{i}" for i in range(60)]
    summary = drawn_apart(tmp_path, a=(deep, CELLS), b=(deep[5:], [f"x{i}" for i in range(85)], renamed))
    assert list(summary["matrices"]) == ["a"]


def test_spliced_and_unspliced_counts_of_the_same_cells_are_not_two_samples(tmp_path: Path):
    rng = np.random.default_rng(0)
    deep = made_counts(cells=90, genes=60, depth=2000)
    spliced = deep.copy()
    spliced.data = rng.binomial(deep.data.astype(int), 0.7).astype(np.float32)
    summary = drawn_apart(tmp_path, spliced=(spliced, CELLS), unspliced=(deep - spliced, CELLS))
    assert list(summary["matrices"]) == ["spliced"]


def test_other_cells_of_the_same_barcodes_stay(tmp_path: Path):
    summary = drawn_apart(tmp_path, a=(COUNTS, CELLS), b=(OTHER, CELLS[:70]))
    assert list(summary["matrices"]) == ["a", "b"]


def test_a_few_shared_cells_are_taken_out_of_one_side(tmp_path: Path):
    both = sparse.vstack([OTHER, COUNTS[:6]], format="csr")
    summary = drawn_apart(tmp_path, a=(COUNTS, CELLS), b=(both, [f"b{i}" for i in range(76)]))
    assert {name: entry["cells"] for name, entry in summary["matrices"].items()} == {"a": 90, "b": 70}


def test_train_and_test_folders_of_the_same_cells_are_refused(tmp_path: Path):
    with pytest.raises(matrix.CountsError, match="what is learned on would be tested on"):
        drawn_apart(tmp_path, train__a=(COUNTS, CELLS), test__b=(COUNTS[:60], CELLS[:60]))


def test_a_cell_that_stands_twice_in_a_matrix_stays_once(tmp_path: Path):
    twice = sparse.vstack([COUNTS, COUNTS[:7]], format="csr")
    summary = drawn_apart(tmp_path, a=(twice, [f"c{i}" for i in range(97)]))
    assert summary["matrices"]["a"]["cells"] == 90
    assert "7 cells that stand in it twice" in json.dumps(summary["warnings"])

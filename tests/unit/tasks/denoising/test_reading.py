"""Count matrices as people have them: any orientation, prefix, container and ending give the same counts, and
what is no count is refused by name.
"""

import gzip
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import sparse

from tests.parts.denoising import part
from tests.unit.tasks.denoising.writers import (
    CELLS,
    COUNTS,
    GENES,
    features,
    market,
    table,
    write_10x,
    write_h5ad,
    write_npz,
)

data = part("data")
files, folders, matrix = (sys.modules[f"count_matrices.{name}"] for name in ("files", "folders", "matrix"))


def summary_of(source: Path, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "into" / "data").mkdir(parents=True, exist_ok=True)
    found, left = folders.found_files(source)
    return data.write(found, tmp_path / "into" / "data", False, left)


def same(path: Path) -> bool:
    found = files.read(path)
    return found.matrix.shape == COUNTS.shape and (found.matrix != COUNTS).nnz == 0


@pytest.mark.parametrize(
    ("matrix_name", "genes", "barcodes"),
    [
        ("matrix.mtx", "features.tsv", "barcodes.tsv"),
        ("matrix.mtx.gz", "genes.tsv.gz", "barcodes.tsv.gz"),
        ("GSM7_ctrl_matrix.mtx.gz", "GSM7_ctrl_features.tsv.gz", "GSM7_ctrl_barcodes.tsv.gz"),
        ("GSM7_ctrl_counts.mtx.gz", "GSM7_ctrl_genes.tsv.gz", "GSM7_ctrl_barcodes.tsv.gz"),
        ("GSM7.counts.mtx", "GSM7.genes.txt", "GSM7.cells.txt"),
        ("spliced.mtx", "features.tsv", "barcodes.tsv"),
        ("UniqueAndMult-EM.mtx", "features.tsv", "barcodes.tsv"),
        ("cells_x_genes.mtx", "cells_x_genes.genes.names.txt", "cells_x_genes.barcodes.txt"),
    ],
)
@pytest.mark.parametrize("turned", [True, False])
def test_the_tables_beside_a_matrix_say_which_axis_holds_the_cells(
    matrix_name: str, genes: str, barcodes: str, turned: bool, tmp_path: Path
):
    market(tmp_path / matrix_name, turned=turned)
    table(tmp_path / genes, features())
    table(tmp_path / barcodes, CELLS)
    found = files.read(tmp_path / matrix_name)
    assert (found.genes, found.cells, found.notes) == (GENES, CELLS, [])
    assert (found.matrix != COUNTS).nnz == 0


def test_tables_of_another_matrix_are_not_taken(tmp_path: Path):
    market(tmp_path / "GSM1_matrix.mtx")
    table(tmp_path / "GSM1_features.tsv", features())
    table(tmp_path / "GSM1_barcodes.tsv", CELLS)
    table(tmp_path / "GSM2_features.tsv", features(GENES[:7]))
    table(tmp_path / "GSM2_barcodes.tsv", CELLS[:9])
    assert same(tmp_path / "GSM1_matrix.mtx")


def test_tables_with_a_header_or_quotes_are_read(tmp_path: Path):
    market(tmp_path / "matrix.mtx")
    table(tmp_path / "genes.csv", ["id,name", *(f'"{gene}","{gene}"' for gene in GENES)])
    table(tmp_path / "barcodes.tsv", ["barcode", *CELLS])
    assert files.read(tmp_path / "matrix.mtx").genes == GENES


def test_tables_that_fit_neither_way_are_named_with_their_lengths(tmp_path: Path):
    market(tmp_path / "matrix.mtx")
    table(tmp_path / "features.tsv", features())
    table(tmp_path / "barcodes.tsv", CELLS[:80])
    with pytest.raises(matrix.CountsError, match=r"\(60, 90\) fits neither way .*60 genes, 80 barcodes"):
        files.read(tmp_path / "matrix.mtx")


@pytest.mark.parametrize("name", ["x.mtx", "x.npz"])
def test_an_orientation_is_never_assumed_in_silence(name: str, tmp_path: Path):
    write: Callable[..., None] = (
        write_npz if name.endswith("npz") else lambda p, m: market(p, m, turned=False)
    )
    write(tmp_path / name, COUNTS)
    assert "its 90 rows were taken" in files.read(tmp_path / name).notes[0]
    write(tmp_path / name, COUNTS.T.tocsr())
    with pytest.raises(matrix.CountsError, match="nothing shows which axis holds the cells"):
        files.read(tmp_path / name)


def test_an_annotated_matrix_whose_genes_are_barcodes_is_turned_and_said(tmp_path: Path):
    import anndata
    import pandas

    names = {"obs": pandas.DataFrame(index=GENES), "var": pandas.DataFrame(index=CELLS)}
    anndata.AnnData(COUNTS.T.tocsr(), **names).write_h5ad(tmp_path / "x.h5ad")
    found = files.read(tmp_path / "x.h5ad")
    assert (found.genes, found.cells) == (GENES, CELLS)
    assert "read as genes x cells" in found.notes[0]
    assert (found.matrix != COUNTS).nnz == 0


def test_an_annotated_matrix_whose_cells_are_named_like_genes_is_turned_and_said(tmp_path: Path):
    import anndata
    import pandas

    genes, cells = [f"ENSMUSG{i:011d}.2" for i in range(60)], [f"plate1_{i}" for i in range(90)]
    names = {"obs": pandas.DataFrame(index=genes), "var": pandas.DataFrame(index=cells)}
    anndata.AnnData(COUNTS.T.tocsr(), **names).write_h5ad(tmp_path / "x.h5ad")
    found = files.read(tmp_path / "x.h5ad")
    assert (found.genes, found.cells) == (genes, cells)
    assert "cells are named like genes" in found.notes[0]
    assert (found.matrix != COUNTS).nnz == 0


@pytest.mark.parametrize("turned", [True, False])
@pytest.mark.parametrize("tables", ["x.mtx_{}", "x_{}.txt"])
def test_names_of_rows_and_columns_that_do_not_say_which_are_cells_show_it(
    tables: str, turned: bool, tmp_path: Path
):
    market(tmp_path / "x.mtx", COUNTS, turned=turned)
    for axis, names in zip(("rows", "cols"), (GENES, CELLS) if turned else (CELLS, GENES), strict=True):
        (tmp_path / tables.format(axis)).write_text("".join(f"{name}\n" for name in names))
    found = files.read(tmp_path / "x.mtx")
    assert (found.genes, found.cells) == (GENES, CELLS)
    assert (found.matrix != COUNTS).nnz == 0


@pytest.mark.parametrize("layer", ["Counts", "raw_count", "UMI"])
def test_a_layer_of_counts_is_known_in_any_spelling(layer: str, tmp_path: Path):
    write_h5ad(tmp_path / "x.h5ad", COUNTS.log1p(), layers={layer: COUNTS})
    assert (files.read(tmp_path / "x.h5ad").matrix != COUNTS).nnz == 0


def test_layers_of_other_names_are_named_where_nothing_else_holds_counts(tmp_path: Path):
    write_h5ad(tmp_path / "x.h5ad", COUNTS.log1p(), layers={"spliced": COUNTS, "unspliced": COUNTS})
    with pytest.raises(matrix.CountsError, match=r"layers spliced, unspliced .*data.layers\['spliced'\]"):
        files.read(tmp_path / "x.h5ad")


def genome(file: h5py.File, name: str, counts: sparse.csr_matrix, cells: list[str]) -> None:
    """CellRanger 2's group."""
    for part_name in ("data", "indices", "indptr"):
        file[f"{name}/{part_name}"] = getattr(counts.tocsr(), part_name).astype(np.int64)
    file[f"{name}/shape"] = np.array(counts.shape[::-1])
    file[f"{name}/barcodes"] = np.array(cells, "S")
    file[f"{name}/gene_names"] = np.array([f"{name}g{i}" for i in range(counts.shape[1])], "S")


def test_two_genomes_of_one_set_of_barcodes_stand_side_by_side(tmp_path: Path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        genome(file, "hg19", COUNTS[:, :35], CELLS)
        genome(file, "mm10", COUNTS[:, 35:], CELLS)
    assert same(tmp_path / "x.h5")
    with h5py.File(tmp_path / "y.h5", "w") as file:
        genome(file, "hg19", COUNTS[:50], CELLS[:50])
        genome(file, "mm10", COUNTS[50:], CELLS[50:])
    with pytest.raises(matrix.CountsError, match=r'genome="mm10"\).write_h5ad'):
        files.read(tmp_path / "y.h5")


def test_an_hdf5_file_is_what_is_in_it_whatever_it_is_called(tmp_path: Path):
    write_h5ad(tmp_path / "a.h5ad")
    write_10x(tmp_path / "b.h5")
    shutil.copy(tmp_path / "a.h5ad", tmp_path / "annotated.h5")
    shutil.copy(tmp_path / "b.h5", tmp_path / "tenx.h5ad")
    with h5py.File(tmp_path / "velocyto.loom", "w") as file:
        file["matrix"] = COUNTS.T.toarray()
        file["row_attrs/Gene"] = np.array(GENES, "S")
        file["col_attrs/CellID"] = np.array(CELLS, "S")
    for name in ("annotated.h5", "tenx.h5ad", "velocyto.loom"):
        assert same(tmp_path / name), name


@pytest.mark.parametrize(
    ("groups", "reason"),
    [
        (["barcode_idx", "umi", "features/name"], "molecule_info.h5 .*filtered_feature_bc_matrix.h5"),
        (["mod/rna/X", "obs_names"], "MuData"),
        (["assays/RNA"], "h5Seurat"),
        (["weights"], "neither AnnData, 10x nor loom"),
    ],
)
def test_another_hdf5_file_is_named_for_what_it_is(groups: list[str], reason: str, tmp_path: Path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name in groups:
            file[name] = np.ones(3)
    with pytest.raises(matrix.CountsError, match=reason):
        files.read(tmp_path / "x.h5")


@pytest.mark.parametrize("name", ["x.h5ad", "x.npz", "x.h5"])
def test_a_packed_file_is_unpacked(name: str, tmp_path: Path):
    {"x.h5ad": write_h5ad, "x.npz": write_npz, "x.h5": write_10x}[name](tmp_path / name)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    (tmp_path / name).unlink()
    assert same(tmp_path / f"{name}.gz")


def test_the_first_part_that_holds_counts_is_taken_and_the_others_are_noted(tmp_path: Path):
    scaled = COUNTS.copy()
    scaled.data = COUNTS.data * 1.7
    write_h5ad(tmp_path / "x.h5ad", COUNTS, layers={"counts": scaled})
    assert same(tmp_path / "x.h5ad")
    assert "took X (layers['counts']:" in files.read(tmp_path / "x.h5ad").notes[0]


def test_whole_numbers_that_went_through_a_logarithm_are_still_counts(tmp_path: Path):
    large = COUNTS.copy()
    large.data[:40] = np.linspace(1000, 90_000, 40).round()
    noisy = large.astype(np.float32)
    noisy.data = np.expm1(np.log1p(noisy.data))
    assert (noisy.data != np.rint(noisy.data)).any()
    write_npz(tmp_path / "x.npz", noisy, genes=np.array(GENES))
    assert (files.read(tmp_path / "x.npz").matrix != large).nnz == 0


def test_how_many_counts_are_no_whole_numbers_is_said_also_where_they_are_few(tmp_path: Path):
    counts = COUNTS.copy()
    counts.data[3] = 2.5
    write_npz(tmp_path / "x.npz", counts)
    with pytest.raises(matrix.CountsError, match=rf"1 of {COUNTS.nnz} nonzero counts are no whole numbers"):
        files.read(tmp_path / "x.npz")


def test_counts_that_no_cell_has_are_refused(tmp_path: Path):
    counts = COUNTS.astype(np.float64)
    counts.data[3] = 2.0**31 + 5
    write_npz(tmp_path / "x.npz", counts)
    with pytest.raises(matrix.CountsError, match=r"largest count is 2\.147e"):
        files.read(tmp_path / "x.npz")


def test_a_header_of_floats_and_a_byte_order_mark_are_read(tmp_path: Path):
    market(tmp_path / "matrix.mtx", field="float")
    (tmp_path / "matrix.mtx").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "matrix.mtx").read_bytes())
    table(tmp_path / "features.tsv", features())
    assert same(tmp_path / "matrix.mtx")


def test_a_matrix_of_hardly_any_genes_is_refused(tmp_path: Path):
    write_npz(tmp_path / "x.npz", COUNTS[:, :10].tocsr(), genes=np.array(GENES[:10]))
    with pytest.raises(matrix.CountsError, match="genes with counts; at least 20"):
        summary_of(tmp_path / "x.npz", tmp_path)


def test_what_lies_deep_in_a_folder_is_found_and_nothing_is_skipped_in_silence(tmp_path: Path):
    source = tmp_path / "from"
    (source / "GSM1").mkdir(parents=True)
    market(source / "GSM1" / "GSM1_matrix.mtx.gz")
    table(source / "GSM1" / "GSM1_features.tsv.gz", features())
    table(source / "GSM1" / "GSM1_barcodes.tsv.gz", CELLS)
    (source / "GSM2_counts.csv.gz").write_bytes(gzip.compress(b"gene,c1\n"))
    (source / ".DS_Store").write_bytes(b"x")
    (source / "._x.h5ad").write_bytes(b"x")
    summary = summary_of(source, tmp_path)
    assert list(summary["matrices"]) == ["GSM1"]
    assert next(line.split(":")[0] for line in summary["warnings"]) == "GSM2_counts.csv.gz"

"""Tables of genes and barcodes as people's programs name and write them, each found for the matrix that it
is of; and no matrix of a folder takes another one's name.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.parts.denoising import made_counts, part
from tests.unit.tasks.denoising.writers import CELLS, COUNTS, GENES, features, market, table, write_h5ad

data = part("data")
files, folders = (sys.modules[f"count_matrices.{name}"] for name in ("files", "folders"))
OTHERS = made_counts(cells=90, genes=60, seed=7)
OTHER_CELLS = [cell.translate(str.maketrans("ACGT", "TGCA")) for cell in CELLS]


@pytest.mark.parametrize(
    ("matrix", "genes", "barcodes"),
    [
        ("s1.mtx.gz", "s1_genes.tsv.gz", "s1_barcodes.tsv.gz"),
        ("GSM1.ctrl.mtx", "GSM1.ctrl-features.tsv", "GSM1.ctrl-barcodes.tsv"),
        ("DGE.mtx", "all_genes.csv", "cell_metadata.csv"),
        ("GSE1_counts.mtx.gz", "GSE1_rownames.txt.gz", "GSE1_colnames.txt.gz"),
    ],
)
def test_tables_are_found_under_the_names_that_people_give_them(
    matrix: str, genes: str, barcodes: str, tmp_path: Path
):
    market(tmp_path / matrix)
    cut = "," if genes.endswith(".csv") else "\t"
    table(tmp_path / genes, [cut.join((gene, gene, "x")) for gene in GENES])
    table(tmp_path / barcodes, CELLS)
    found = files.read(tmp_path / matrix)
    assert (found.matrix != COUNTS).nnz == 0
    assert (found.genes, found.cells) == (GENES, CELLS)


@pytest.mark.parametrize("names", [("_ctrl", "_stim"), ("1", "11"), (".b", ".a")])
def test_each_of_two_matrices_has_the_table_that_ends_as_it_does(names: tuple[str, str], tmp_path: Path):
    for name, counts, cells in zip(names, (COUNTS, OTHERS), (CELLS, OTHER_CELLS), strict=True):
        market(tmp_path / f"matrix{name}.mtx", counts)
        table(tmp_path / f"barcodes{name}.tsv", cells)
        table(tmp_path / f"features{name}.tsv", features())
    assert files.read(tmp_path / f"matrix{names[0]}.mtx").cells == CELLS
    assert files.read(tmp_path / f"matrix{names[1]}.mtx").cells == OTHER_CELLS
    (tmp_path / "data").mkdir()
    assert len(data.write(*(folders.found_files(tmp_path)[:1]), tmp_path / "data", False)["matrices"]) == 2


def test_one_table_of_genes_for_several_matrices_is_found(tmp_path: Path):
    for name, counts, cells in (("GSM1_a", COUNTS, CELLS), ("GSM2_b", OTHERS, OTHER_CELLS)):
        market(tmp_path / f"{name}_matrix.mtx", counts)
        table(tmp_path / f"{name}_barcodes.tsv", cells)
    table(tmp_path / "GSE9_features.tsv", [*features()[:55], *features(GENES[55:], "Antibody Capture")])
    found = files.read(tmp_path / "GSM2_b_matrix.mtx")
    assert (found.genes, found.cells) == (GENES[:55], OTHER_CELLS)
    assert (found.matrix != OTHERS[:, :55]).nnz == 0


def test_a_row_that_ends_early_hides_no_antibodies(tmp_path: Path):
    market(tmp_path / "matrix.mtx")
    rows = [*features()[:55], *features(GENES[55:], "Antibody Capture")]
    table(tmp_path / "features.tsv", [*rows[:3], "ENSG00003", *rows[4:]])
    table(tmp_path / "barcodes.tsv", CELLS)
    found = files.read(tmp_path / "matrix.mtx")
    assert found.genes == [*GENES[:3], "ENSG00003", *GENES[4:55]]


def test_what_powershell_unpacked_is_read(tmp_path: Path):
    market(tmp_path / "matrix.mtx")
    table(tmp_path / "barcodes.tsv", CELLS)
    table(tmp_path / "features.tsv", features())
    for path in tmp_path.iterdir():
        path.write_text(path.read_text(), encoding="utf-16", newline="\r\n")
    found = files.read(tmp_path / "matrix.mtx")
    assert (found.matrix != COUNTS).nnz == 0
    assert (found.genes, found.cells) == (GENES, CELLS)


def test_numbers_of_lines_that_r_writes_are_no_barcodes(tmp_path: Path):
    market(tmp_path / "matrix.mtx")
    for name, values in (("barcodes", CELLS), ("genes", GENES)):
        lines = [f'"{number}","{value}"' for number, value in enumerate(values, 1)]
        table(tmp_path / f"{name}.csv", ['"","x"', *lines])
    found = files.read(tmp_path / "matrix.mtx")
    assert (found.genes, found.cells) == (GENES, CELLS)


@pytest.mark.parametrize(
    "names", [("counts.h5ad", "matrix.h5ad"), ("a/x.h5ad", "a-x.h5ad", "b/x.h5ad"), ("m/x.h5ad", "m/x.H5AD")]
)
def test_no_matrix_of_a_folder_takes_the_place_of_another(names: tuple[str, ...], tmp_path: Path):
    for number, name in enumerate(names):
        (tmp_path / "given" / name).parent.mkdir(parents=True, exist_ok=True)
        write_h5ad(tmp_path / "given" / name, made_counts(cells=70 + number, genes=60, seed=number))
    (tmp_path / "data").mkdir()
    found, _ = folders.found_files(tmp_path / "given")
    taken = data.write(found, tmp_path / "data", False)["matrices"]
    assert np.unique([entry["cells"] for entry in taken.values()]).tolist() == list(
        range(70, 70 + len(names))
    )

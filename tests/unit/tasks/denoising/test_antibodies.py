"""Antibodies and sample tags beside the genes are left out, however a file marks them."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from tests.parts.denoising import part
from tests.unit.tasks.denoising.writers import CELLS, COUNTS, GENES, features, market, table, write_h5ad

part("data")
files, matrix = (sys.modules[f"count_matrices.{name}"] for name in ("files", "matrix"))
ANTIBODIES = ["CD3", "CD19"]
KINDS_10X = ["Gene Expression"] * 55 + ["Antibody Capture"] * 5


@pytest.mark.parametrize(("column", "genes"), [("feature_type", "Gene Expression"), ("feature_types", "GEX")])
def test_antibodies_are_no_genes_however_the_column_spells_it(column: str, genes: str, tmp_path: Path):
    import anndata
    import pandas

    table = pandas.DataFrame({column: [genes] * 55 + ["ADT"] * 5}, index=GENES)
    anndata.AnnData(COUNTS, var=table).write_h5ad(tmp_path / "x.h5ad")
    assert files.read(tmp_path / "x.h5ad").genes == GENES[:55]


def test_antibodies_are_no_genes_where_the_annotated_matrix_is_turned(tmp_path: Path):
    import anndata
    import pandas

    genes, cells = pandas.DataFrame({"feature_types": KINDS_10X}, index=GENES), pandas.DataFrame(index=CELLS)
    anndata.AnnData(COUNTS.T.tocsr(), obs=genes, var=cells).write_h5ad(tmp_path / "x.h5ad")
    found = files.read(tmp_path / "x.h5ad")
    assert (found.genes, found.cells) == (GENES[:55], CELLS)
    assert (found.matrix != COUNTS[:, :55]).nnz == 0


def test_a_matrix_of_sample_tags_alone_holds_no_genes(tmp_path: Path):
    (tmp_path / "tags").mkdir()
    market(tmp_path / "tags" / "matrix.mtx", COUNTS)
    lines = [f"{gene}\t{gene}\tMultiplexing Capture\n" for gene in GENES]
    (tmp_path / "tags" / "features.tsv").write_text("".join(lines))
    with pytest.raises(matrix.CountsError, match="holds no genes, but Multiplexing Capture"):
        files.read(tmp_path / "tags" / "matrix.mtx")


def test_antibodies_are_no_genes_in_any_format(tmp_path: Path):
    import anndata
    import pandas

    wide = sparse.hstack([COUNTS, np.full((90, 2), 4000)], format="csr")
    kinds = ["Gene Expression"] * 60 + ["Antibody Capture"] * 2
    lines = [*features(), *features(ANTIBODIES, "Antibody Capture")]
    (tmp_path / "cite").mkdir()
    market(tmp_path / "cite" / "matrix.mtx.gz", wide)
    table(tmp_path / "cite" / "features.tsv.gz", lines)
    table(tmp_path / "cite" / "barcodes.tsv.gz", CELLS)
    var = pandas.DataFrame({"feature_types": kinds}, index=[*GENES, *ANTIBODIES])
    anndata.AnnData(wide, var=var).write_h5ad(tmp_path / "cite.h5ad")
    for path in (tmp_path / "cite" / "matrix.mtx.gz", tmp_path / "cite.h5ad"):
        found = files.read(path)
        assert (found.matrix != COUNTS).nnz == 0
        assert "left out 2 features that are no genes (Antibody Capture)" in found.notes[0]


KINDS: dict[str, tuple[dict[str, list[str]], int]] = {
    "biotypes, as in CELLxGENE": ({"feature_type": ["protein_coding"] * 50 + ["lncRNA"] * 10}, 60),
    "RNA and ADT": ({"feature_types": ["RNA"] * 50 + ["ADT"] * 10}, 50),
    "small letters": ({"feature_types": ["gene expression"] * 50 + ["antibody capture"] * 10}, 50),
    "a column of another name": ({"modality": ["RNA"] * 50 + ["Protein"] * 10}, 50),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_a_feature_is_is_read_in_any_vocabulary(name: str, tmp_path: Path):
    import anndata
    import pandas

    columns, genes = KINDS[name]
    var = pandas.DataFrame({"n_cells": range(60), **columns}, index=GENES)
    anndata.AnnData(COUNTS, var=var).write_h5ad(tmp_path / "x.h5ad")
    assert files.read(tmp_path / "x.h5ad").genes == GENES[:genes]


def test_raw_counts_without_kinds_take_those_of_var(tmp_path: Path):
    import anndata
    import pandas

    var = pandas.DataFrame({"feature_types": KINDS_10X}, index=GENES)
    data = anndata.AnnData(COUNTS.log1p(), var=var)
    data.raw = anndata.AnnData(COUNTS, var=pandas.DataFrame(index=GENES))
    data.write_h5ad(tmp_path / "x.h5ad")
    assert files.read(tmp_path / "x.h5ad").genes == GENES[:55]


TABLES: dict[str, list[str]] = {
    "two columns": [f"{gene}\t{kind}" for gene, kind in zip(GENES, KINDS_10X, strict=True)],
    "other words": [
        f"id\t{gene}\t{'GEX' if kind == 'Gene Expression' else 'ADT'}"
        for gene, kind in zip(GENES, KINDS_10X, strict=True)
    ],
    "a late column": [
        "gene,name,genome,kind",
        *(f"i,{g},hg38,{k}" for g, k in zip(GENES, KINDS_10X, strict=True)),
    ],
}


@pytest.mark.parametrize("name", TABLES)
def test_kinds_stand_in_any_column_of_the_table_beside_a_matrix(name: str, tmp_path: Path):
    market(tmp_path / "matrix.mtx")
    table(tmp_path / "features.tsv", TABLES[name])
    table(tmp_path / "barcodes.tsv", CELLS)
    assert files.read(tmp_path / "matrix.mtx").genes == GENES[:55]


def test_peaks_are_no_genes_though_nothing_says_so_but_their_places(tmp_path: Path):
    market(tmp_path / "matrix.mtx")
    table(tmp_path / "barcodes.tsv", CELLS)
    table(tmp_path / "peaks.bed", [f"chr1\t{i}00\t{i}50" for i in range(60)])
    write_h5ad(tmp_path / "x.h5ad", names=[f"chr1:{i}000-{i}500" for i in range(1, 61)])
    for name in ("matrix.mtx", "x.h5ad"):
        with pytest.raises(matrix.CountsError, match=f"{name}: holds no genes, but .*eaks"):
            files.read(tmp_path / name)

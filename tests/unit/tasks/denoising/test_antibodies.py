"""Antibodies and sample tags beside the genes are left out, however a file marks them."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from tests.parts.denoising import part
from tests.unit.tasks.denoising.writers import CELLS, COUNTS, GENES, features, market, table

part("data")
files, matrix = (sys.modules[f"count_matrices.{name}"] for name in ("files", "matrix"))
ANTIBODIES = ["CD3", "CD19"]


@pytest.mark.parametrize(("column", "genes"), [("feature_type", "Gene Expression"), ("feature_types", "GEX")])
def test_antibodies_are_no_genes_however_the_column_spells_it(column: str, genes: str, tmp_path: Path):
    import anndata
    import pandas

    table = pandas.DataFrame({column: [genes] * 55 + ["ADT"] * 5}, index=GENES)
    anndata.AnnData(COUNTS, var=table).write_h5ad(tmp_path / "x.h5ad")
    assert files.read(tmp_path / "x.h5ad").genes == GENES[:55]


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

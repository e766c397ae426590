"""Cells are known again by their barcodes, however programs spell these and whatever they counted."""

import sys
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from tests.parts.denoising import made_counts, part
from tests.unit.tasks.denoising.writers import GENES, loom

data = part("data")
folders = sys.modules["count_matrices.folders"]


def summary_of(source: Path, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "into" / "data").mkdir(parents=True, exist_ok=True)
    found, left = folders.found_files(source)
    return data.write(found, tmp_path / "into" / "data", False, left)


@pytest.mark.parametrize("suffix", ["", "-1"])
def test_cells_with_one_barcode_are_the_same_cells_whatever_was_counted(suffix: str, tmp_path: Path):
    """velocyto's spliced and unspliced counts have nothing but the barcodes in common."""
    import anndata
    import pandas

    (source := tmp_path / "source").mkdir()
    barcodes = ["ACGTACGTACGT" + "".join(end) for end in islice(product("ACGT", repeat=4), 90)]
    for name, seed, end in (("spliced", 1, "-1"), ("unspliced", 2, suffix)):
        counts = made_counts(cells=90, genes=60, seed=seed)
        obs = pandas.DataFrame(index=[code + end for code in barcodes])
        table = anndata.AnnData(counts, obs=obs, var=pandas.DataFrame(index=GENES))
        table.write_h5ad(source / f"{name}.h5ad")

    summary = summary_of(source, tmp_path)

    assert len(summary["matrices"]) == 1
    assert "90 of its 90 cells" in " ".join(summary["warnings"])


def test_a_barcode_is_known_again_in_any_program_s_spelling(tmp_path: Path):
    """velocyto counts other molecules than CellRanger, and calls the cell ACGT...-1 "sample:ACGT...x"."""
    (source := tmp_path / "source").mkdir()
    barcodes = ["ACGTACGTACGT" + "".join(end) for end in islice(product("ACGT", repeat=4), 90)]
    for name, seed, spelt in (("cellranger", 1, "{}-1"), ("velocyto", 2, "my_sample:{}x")):
        counts = made_counts(cells=90, genes=60, seed=seed).T.toarray()
        cells = [spelt.format(code) for code in barcodes]
        loom(source / f"{name}.loom", counts, {"Gene": GENES}, {"CellID": cells})

    summary = summary_of(source, tmp_path)

    assert len(summary["matrices"]) == 1
    assert "90 of its 90 cells" in " ".join(summary["warnings"])


def test_a_sample_is_known_again_in_an_aggregate_of_fewer_molecules(tmp_path: Path):
    (source := tmp_path / "source").mkdir()
    barcodes = ["ACGTACGTACGT" + "".join(end) for end in islice(product("ACGT", repeat=4), 90)]
    one = made_counts(cells=90, genes=60, seed=1)
    fewer = one.copy()
    fewer.data = np.ceil(one.data / 2)
    both = sparse.vstack([fewer, made_counts(cells=90, genes=60, seed=2)])
    named = [f"{code}-1" for code in barcodes], [f"{code}-{n}" for n in (1, 2) for code in barcodes]
    for name, counts, cells in (("one", one, named[0]), ("both", both, named[1])):
        loom(source / f"{name}.loom", counts.T.toarray(), {"Gene": GENES}, {"CellID": cells})

    assert [*summary_of(source, tmp_path)["matrices"]] == ["both"]

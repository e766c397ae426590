"""Files and folders as they lie on people's disks: read as what they are, or refused by name; never misread,
never waited for.
"""

import gzip
import os
import sys
from collections.abc import Callable
from itertools import islice, product
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.parts.denoising import made_counts, part
from tests.unit.tasks.denoising.writers import CELLS, COUNTS, GENES, write_h5ad, write_npz

data = part("data")
files, folders, matrix = (sys.modules[f"count_matrices.{name}"] for name in ("files", "folders", "matrix"))
WHOLE = COUNTS.toarray().astype(int)


def summary_of(source: Path, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "into" / "data").mkdir(parents=True, exist_ok=True)
    found, left = folders.found_files(source)
    return data.write(found, tmp_path / "into" / "data", False, left)


def tables(folder: Path) -> None:
    (folder / "features.tsv").write_text("".join(f"{gene}\n" for gene in GENES))
    (folder / "barcodes.tsv").write_text("".join(f"{cell}\n" for cell in CELLS))


def market(kind: str, values: Any) -> bytes:
    lines = "\n".join(str(value) for value in values)
    return f"%%MatrixMarket matrix {kind} general\n60 90\n{lines}\n".encode()


def loom(path: Path, counts: Any, rows: dict[str, list[str]], columns: dict[str, list[str]]) -> None:
    with h5py.File(path, "w") as file:
        file["matrix"] = counts
        for side, names in (("row_attrs", rows), ("col_attrs", columns)):
            group = file.create_group(side)
            for name, values in names.items():
                group[name] = np.array(values, "S")


def zipped_market(folder: Path) -> None:
    tables(folder)
    path = folder / "matrix.mtx"  # gzip, though its ending does not say so
    path.write_bytes(gzip.compress(market("array integer", WHOLE.ravel())))


def dense_market(folder: Path) -> None:
    tables(folder)
    (folder / "matrix.mtx").write_bytes(market("array integer", WHOLE.ravel()))


READ: dict[str, Callable[[Path], None]] = {
    "a dense MatrixMarket file": dense_market,
    "gzip by its bytes alone": zipped_market,
    "half precision": lambda folder: write_h5ad(folder / "a.h5ad", WHOLE.astype(np.float16)),
    "loom": lambda folder: loom(folder / "a.loom", WHOLE.T, {"Gene": GENES}, {"CellID": CELLS}),
    "loom, turned": lambda folder: loom(folder / "a.loom", WHOLE, {"CellID": CELLS}, {"Gene": GENES}),
    "loom, named as in AnnData": lambda folder: loom(
        folder / "a.loom", WHOLE.T, {"var_names": GENES}, {"obs_names": CELLS}
    ),
    "a name with all kinds of characters": lambda folder: write_h5ad(folder / "a b'q\"\n项目.H5AD", WHOLE),
}


@pytest.mark.parametrize("name", READ)
def test_a_legal_file_is_read_whatever_its_writer_was(name: str, tmp_path: Path):
    (source := tmp_path / "source").mkdir()
    READ[name](source)
    (path,) = [path for _, path, _ in folders.found_files(source)[0]]

    found = files.read(path)

    assert (found.matrix.toarray() == WHOLE).all()
    assert found.genes == GENES


def unnamed(folder: Path) -> None:
    import anndata

    anndata.AnnData(WHOLE.T).write_h5ad(folder / "a.h5ad")


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "turned, without names": (unnamed, "nothing shows which axis holds the cells"),
    "true and false": (lambda f: write_h5ad(f / "a.h5ad", WHOLE > 0), "not how many"),
    "places alone": (
        lambda f: (f / "a.mtx").write_bytes(market("coordinate pattern", ["1 1 1"])),
        "states where counts are",
    ),
    "empty": (lambda f: (f / "a.h5ad").write_bytes(b""), "the file is empty"),
    "Git LFS": (
        lambda f: (f / "a.h5").write_text("version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    "git-annex": (lambda f: (f / "a.h5").write_text("/annex/objects/SHA256E-s1"), "git annex get"),
    "a web page": (lambda f: (f / "a.h5ad.gz").write_text("<!DOCTYPE html>"), "is a web page"),
    "a broken link": (lambda f: (f / "a.h5ad").symlink_to("/nowhere/a.h5ad"), "a link to /nowhere/a.h5ad"),
    "a table": (lambda f: (f / "a.csv").write_text(",c1\ng1,2\n"), "with a gene a row: anndata.read_csv"),
    "an unknown kind": (lambda f: (f / "a.parquet").write_bytes(b"PAR1"), "there are a.parquet"),
    "only a pipe": (lambda f: os.mkfifo(f / "a.h5ad"), "holds no count matrix"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_no_counts_is_refused_by_name(name: str, tmp_path: Path):
    make, reason = REFUSED[name]
    (source := tmp_path / "source").mkdir()
    make(source)

    with pytest.raises(matrix.CountsError, match=reason):
        summary_of(source, tmp_path)


def test_a_path_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(matrix.CountsError, match=r"nowhere\.h5ad: there is no such file"):
        folders.found_files(tmp_path / "nowhere.h5ad")


def test_a_pipe_a_broken_link_and_a_circle_of_links_stop_no_other_matrix(tmp_path: Path):
    (source := tmp_path / "source").mkdir()
    os.mkfifo(source / "pipe.h5ad")
    (source / "broken.h5ad").symlink_to("/nowhere/a.h5ad")
    (source / "circle").symlink_to(source)
    write_npz(source / "mine.npz", genes=np.array(GENES))

    summary = summary_of(source, tmp_path)

    assert [*summary["matrices"]] == ["mine"]
    assert len(summary["refused"]) == 1


@pytest.mark.parametrize("names", [("train", "test"), ("Train", "Test"), ("TRAIN", "TEST")])
def test_folders_called_train_and_test_decide_however_they_are_spelt(names: tuple[str, str], tmp_path: Path):
    for name, cells in zip(names, (70, 90), strict=True):  # else the one with more cells would be train
        (tmp_path / "source" / name).mkdir(parents=True)
        counts = made_counts(cells=cells, genes=60, seed=cells)
        write_npz(tmp_path / "source" / name / f"m{cells}.npz", counts, genes=np.array(GENES))

    taken = summary_of(tmp_path / "source", tmp_path)["matrices"]

    assert {name: entry["role"] for name, entry in taken.items()} == {"m70": "train", "m90": "test"}


def test_an_empty_test_folder_is_an_error_and_not_a_choice_of_ours(tmp_path: Path):
    for name in ("train", "test"):
        (tmp_path / "source" / name).mkdir(parents=True)
    write_npz(tmp_path / "source" / "train" / "a.npz", genes=np.array(GENES))

    with pytest.raises(matrix.CountsError, match="holds no count matrix, and is to hold those of the test"):
        summary_of(tmp_path / "source", tmp_path)


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

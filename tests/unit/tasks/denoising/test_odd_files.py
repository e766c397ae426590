"""Files and folders as they lie on people's disks: read as what they are, or refused by name; never misread,
never waited for.
"""

import gzip
import os
import sys
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import sparse

from tests.parts.denoising import made_counts, part
from tests.unit.tasks.denoising.writers import CELLS, COUNTS, GENES, loom, write_h5ad, write_npz

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


def zipped_market(folder: Path) -> None:
    tables(folder)
    path = folder / "matrix.mtx"  # gzip, though its ending does not say so
    path.write_bytes(gzip.compress(market("array integer", WHOLE.ravel())))


def dense_market(folder: Path) -> None:
    tables(folder)
    (folder / "matrix.mtx").write_bytes(market("array integer", WHOLE.ravel()))


def loom_layer(path: Path) -> None:
    loom(path, COUNTS.log1p().T.toarray(), {"Gene": GENES}, {"CellID": CELLS})
    with h5py.File(path, "a") as file:
        file["layers/counts"] = WHOLE.T


def zarr(path: Path) -> None:
    import anndata
    import pandas

    with warnings.catch_warnings():  # of a format to come
        warnings.simplefilter("ignore")
        anndata.AnnData(COUNTS, var=pandas.DataFrame(index=GENES)).write_zarr(path)


def named_npz(path: Path, counts: Any) -> Path:
    """As scipy writes it, with names of genes."""
    sparse.save_npz(path, counts)
    with np.load(path) as parts:
        np.savez(path, **parts, genes=np.array(GENES))
    return path


def mudata(path: Path) -> None:
    write_h5ad(path)
    with h5py.File(path, "a") as file:
        file.create_group("mod")


def packed(path: Path, write: Callable[[Path], Any]) -> None:
    write(path.with_name("inner"))
    with tarfile.open(path, "w:gz") as archive:
        archive.add(path.with_name("inner"))
    path.with_name("inner").unlink()


READ: dict[str, Callable[[Path], None]] = {
    "a dense MatrixMarket file": dense_market,
    "gzip by its bytes alone": zipped_market,
    "half precision": lambda folder: write_h5ad(folder / "a.h5ad", WHOLE.astype(np.float16)),
    "loom": lambda folder: loom(folder / "a.loom", WHOLE.T, {"Gene": GENES}, {"CellID": CELLS}),
    "loom, turned": lambda folder: loom(folder / "a.loom", WHOLE, {"CellID": CELLS}, {"Gene": GENES}),
    "loom, named as in AnnData": lambda folder: loom(
        folder / "a.loom", WHOLE.T, {"var_names": GENES}, {"obs_names": CELLS}
    ),
    "loom, counts in a layer": lambda folder: loom_layer(folder / "a.loom"),
    "zarr without its ending": lambda folder: zarr(folder / "mine"),
    "CSC parts": lambda folder: named_npz(folder / "a.npz", COUNTS.tocsc()),
    "COO parts": lambda folder: named_npz(folder / "a.npz", COUNTS.tocoo()),
    "npz, called .h5ad": lambda folder: named_npz(folder / "a.npz", COUNTS).rename(folder / "a.h5ad"),
    "an empty layer of counts": lambda folder: write_h5ad(
        folder / "a.h5ad", COUNTS, layers={"counts": 0 * COUNTS}
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


def spatial(path: Path) -> None:
    for name in ("tables/table", "images"):
        (path / name).mkdir(parents=True)
    (path / ".zgroup").write_text('{"zarr_format": 2}')


def layers_alone(path: Path) -> None:
    write_h5ad(path, None, layers={"spliced": COUNTS})


def halved(path: Path) -> None:
    write_h5ad(path)
    path.write_bytes(path.read_bytes()[:9000])


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
    "MuData": (lambda f: mudata(f / "a.h5mu"), "is a MuData file; write its RNA alone"),
    "a table called .h5ad": (
        lambda f: (f / "a.h5ad").write_text("x,c1\n"),
        "is no HDF5 file .it begins with",
    ),
    "an archive called .h5ad": (lambda f: packed(f / "a.h5ad", write_h5ad), "is packed by tar: unpack it"),
    "a table of a matrix's name": (
        lambda f: (f / "gene_counts.csv").write_text(",c1\ng1,2\n"),
        "there are gene_counts.csv.*with a gene a row: anndata.read_csv",
    ),
    "an unknown kind": (lambda f: (f / "a.parquet").write_bytes(b"PAR1"), "there are a.parquet"),
    "SpatialData": (lambda f: spatial(f / "a.zarr"), "is a SpatialData file; give the AnnData in it"),
    "layers alone": (lambda f: layers_alone(f / "a.h5ad"), r"data.X = data.layers\['spliced'\]"),
    "half a matrix": (
        lambda f: (f / "a.mtx.gz").write_bytes(gzip.compress(market("array integer", WHOLE.ravel()))[:900]),
        "is it whole",
    ),
    "half a file": (lambda f: halved(f / "a.h5ad"), "truncated file.*is it whole"),
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


def test_small_integers_are_added_up_without_overflow(tmp_path: Path):
    many = sparse.csr_matrix(np.where(WHOLE > 0, 200, 0).astype(np.uint8))
    for half in ("train", "test"):
        write_npz(tmp_path / f"a.{half}.npz", many, genes=np.array(GENES))

    assert set(files.read(tmp_path / "a.train.npz").matrix.data) == {400}


def test_a_matrix_whose_cells_are_named_by_symbols_of_genes_is_turned_and_said(tmp_path: Path):
    symbols = ["MT-CO1", "RPL3", "Rps4x", "ACTB", "GAPDH", *GENES[5:]]
    rows, columns = {"CellID": [f"plate_{i}" for i in range(90)]}, {"Gene": symbols}
    loom(tmp_path / "a.loom", WHOLE, {"Gene": rows["CellID"]}, {"CellID": columns["Gene"]})

    found = files.read(tmp_path / "a.loom")

    assert (found.matrix.toarray() == WHOLE).all()
    assert "cells are named like genes" in found.notes[0]


def test_a_matrix_that_is_mostly_empty_droplets_is_said_to_be(tmp_path: Path):
    (source := tmp_path / "source").mkdir()
    droplets = sparse.csr_matrix(np.random.default_rng(0).poisson(0.05, (900, 60)))
    write_npz(source / "a.npz", sparse.vstack([COUNTS, droplets]).tocsr(), genes=np.array(GENES))

    assert "look like empty droplets" in " ".join(summary_of(source, tmp_path)["warnings"])


def test_nothing_that_may_hold_counts_is_skipped_in_silence(tmp_path: Path):
    for name in ("train", "test"):
        (tmp_path / "source" / name).mkdir(parents=True)
    deep = tmp_path / "source" / "train" / "outs" / "per_sample_outs" / "s1" / "count"
    deep.mkdir(parents=True)
    write_npz(deep / "a.npz", genes=np.array(GENES))
    write_npz(tmp_path / "source" / "test" / "b.npz", made_counts(cells=70, genes=60, seed=3))
    write_npz(tmp_path / "source" / "c.npz")
    (tmp_path / "source" / "test" / "d.mtx.xz").write_bytes(b"x")

    summary = summary_of(tmp_path / "source", tmp_path)

    assert [*summary["matrices"]] == ["a", "b"]
    said = " ".join(summary["warnings"])
    assert "c.npz: left out: in neither train/ nor test/" in said
    assert "d.mtx.xz: left out: not a format that is read; unpack it" in said


def test_a_file_name_of_another_encoding_gives_a_name_that_can_be_stored(tmp_path: Path):
    assert files.name_of(Path(os.fsdecode(b"m\xfcnchen.h5ad"))) == "m\ufffdnchen"

"""Writes one small matrix of counts in the formats that people have."""

import gzip
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from scipy import io, sparse

from tests.parts.denoising import made_counts

COUNTS = made_counts(cells=90, genes=60)
GENES = [f"gene{i}" for i in range(60)]
CELLS = [f"ACGTACGT{i:04d}".translate(str.maketrans("0123456789", "ACGTACGTAC")) + f"-{i}" for i in range(90)]


def write_h5ad(path: Path, matrix: Any = COUNTS, names: list[str] = GENES, **parts: Any) -> None:
    import anndata
    import pandas

    anndata.AnnData(matrix, var=pandas.DataFrame(index=names), **parts).write_h5ad(path)


def write_10x(path: Path) -> None:
    turned = COUNTS.T.tocsc()  # genes x cells, by cells
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(turned, name).astype(np.int32)
        group["shape"] = np.array(turned.shape, np.int32)
        group["barcodes"] = np.array([f"cell{i}" for i in range(90)], "S")
        for name in ("id", "name", "feature_type", "genome"):
            values = GENES if name in ("id", "name") else ["Gene Expression"] * 60
            group[f"features/{name}"] = np.array(values, "S")


def write_cellranger(folder: Path) -> None:
    folder.mkdir()
    with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
        io.mmwrite(file, COUNTS.T.astype(int))
    for name, lines in (("features.tsv", [f"id\t{gene}\tx" for gene in GENES]), ("barcodes.tsv", ["c"] * 90)):
        with gzip.open(folder / f"{name}.gz", "wt") as text:
            text.write("\n".join(lines))


def write_npz(path: Path, matrix: sparse.csr_matrix = COUNTS, **more: Any) -> None:
    parts = {name: getattr(matrix, name) for name in ("data", "indices", "indptr")}
    np.savez(path, shape=matrix.shape, **{**parts, **more})


def write_halves(path: Path) -> None:
    train, held_out = (COUNTS.copy() for _ in range(2))
    train.data = np.floor(COUNTS.data / 2)
    held_out.data = COUNTS.data - train.data
    write_npz(path, train, genes=np.array(GENES))
    write_npz(path.with_name("x.test.npz"), held_out)


def table(path: Path, lines: list[str]) -> None:
    text = "".join(f"{line}\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def market(path: Path, counts: Any = COUNTS, *, turned: bool = True, field: str = "integer") -> None:
    """As genes x cells, or not turned."""
    scratch = path.with_name("scratch.mtx")
    io.mmwrite(scratch, (counts.T if turned else counts).astype(int), field="integer")
    text = scratch.read_bytes().replace(b" integer ", f" {field} ".encode(), 1)
    scratch.unlink()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def features(names: list[str] = GENES, kind: str = "Gene Expression") -> list[str]:
    return [f"ENSG{place:05d}\t{name}\t{kind}" for place, name in enumerate(names)]


def loom(path: Path, counts: Any, rows: dict[str, list[str]], columns: dict[str, list[str]]) -> None:
    with h5py.File(path, "w") as file:
        file["matrix"] = counts
        for side, names in (("row_attrs", rows), ("col_attrs", columns)):
            group = file.create_group(side)
            for name, values in names.items():
                group[name] = np.array(values, "S")

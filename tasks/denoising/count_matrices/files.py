"""Reads a matrix of counts, cells x genes, from what single-cell tools write, and reports what is wrong with
it.

    .h5ad .h5 .loom    HDF5: AnnData, 10x, loom, by what is in it (hdf5.py)
    .zarr              AnnData in a folder
    .mtx               MatrixMarket, with the tables beside it (market.py)
    .npz               CSR parts data, indices, indptr, shape; NAME.train.npz and NAME.test.npz are added up

each also with .gz. The kind of a file is read from its first bytes, from its ending only where these leave it
open.
"""

import gzip
import shutil
import tempfile
import warnings
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import sparse

from count_matrices.hdf5 import annotated, is_annotated, read_hdf5, unknown
from count_matrices.market import is_gzip, read_mtx
from count_matrices.matrix import Counts, CountsError, checked, turned

PLAIN = (".h5ad", ".h5", ".hdf5", ".loom", ".mtx", ".npz", ".zarr")
TABLES = (".csv", ".tsv", ".txt", ".tab")
TABLE_HINT = (
    "of a table with a cell a row: anndata.read_csv(FILE).write_h5ad('x.h5ad'), with a gene a row: "
    "anndata.read_csv(FILE).T.write_h5ad('x.h5ad'); with tabs: read_csv(FILE, delimiter='\\t')"
)
SUFFIXES = (*PLAIN, *(f"{ending}.gz" for ending in PLAIN if ending != ".zarr"))
MAGIC = {b"\x89HDF\r\n\x1a\n": "hdf5", b"%%MatrixMarket": "mtx", b"\xef\xbb\xbf%%Matrix": "mtx"}
ZARR = {".zgroup", "zarr.json"}  # in a folder that is one, whatever it is called
BYTES = 512
NO_DATA = {  # first bytes of what lies in the place of a file that was never fetched
    b"version https://git-lfs": "is a Git LFS pointer, not the file: git lfs pull",
    b"/annex/": "is a git-annex pointer, not the file: git annex get",
    b"<": "is a web page, not the file: was a login or a redirect downloaded?",
}
ZIP = b"PK\x03\x04"
PACKED = {ZIP: "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
TAR, TAR_AT = b"ustar", 257
SHORT = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile)  # of what was cut off or damaged


def read_counts(source):
    """(counts as CSR of float32 whole numbers, names of the genes or []). Raises CountsError."""
    found = read(source)
    return found.matrix, found.genes


def read(source):
    """The Counts of a file, checked, cells x genes. Raises CountsError."""
    path = Path(source)
    try:
        with warnings.catch_warnings(), tempfile.TemporaryDirectory() as scratch:
            warnings.simplefilter("ignore")
            found = _reader(path)(_unpacked(path, Path(scratch)))
            matrix = checked(found.matrix, path.name)
            found = turned(replace(found, matrix=matrix), path.name)
    except CountsError:
        raise
    except ModuleNotFoundError as error:
        hint = f"pip install {error.name}"
        raise CountsError(f"{path.name}: {error.name} is needed to read it: {hint}") from None
    except MemoryError:
        raise CountsError(f"{path.name}: too large for this machine's memory; give fewer cells") from None
    except Exception as error:  # readers raise whatever their libraries do
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        short = isinstance(error, SHORT) or "truncated" in reason.lower() or kind_of(path) == "mtx"
        hint = "is it whole? fetch it again" if short else "write it again with scanpy (data.write_h5ad)"
        raise CountsError(f"{path.name}: can't be read ({reason}); {hint}") from None
    genes, cells = ([str(name) for name in names] for names in (found.genes, found.cells))
    return Counts(sparse.csr_matrix(found.matrix), genes, cells, found.notes)


def suffix(path):
    name = path.name.lower()
    return next((ending for ending in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(ending)), "")


def name_of(path):
    """A matrix's name: the file's without its ending."""
    whole = path.name.encode(errors="surrogateescape").decode(errors="replace")  # of any encoding
    name = whole[: len(whole) - len(suffix(path))]
    return name.removesuffix(".train")


def kind_of(path):
    """ "hdf5", "mtx", "npz", "zarr" or "": by its first bytes, then by its ending."""
    if path.is_dir():
        zarr = path.name.lower().endswith(".zarr") or any((path / name).is_file() for name in ZARR)
        return "zarr" if zarr else ""
    if path.exists() and not path.is_file():  # a pipe would never end
        return ""
    head = _head(path)
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    if head.startswith(ZIP) and zipfile.is_zipfile(path) and _holds_arrays(path):
        return "npz"
    plain = suffix(path).removesuffix(".gz")
    return {".mtx": "mtx", ".npz": "npz", ".h5ad": "hdf5", ".h5": "hdf5", ".hdf5": "hdf5"}.get(plain, "")


def _holds_arrays(path):
    with zipfile.ZipFile(path) as parts:
        return any(name.endswith(".npy") for name in parts.namelist())


def _head(path):
    """Its first bytes, unpacked; b"" where it can't be read."""
    if not path.is_file():
        return b""
    try:
        with (gzip.open if is_gzip(path) else open)(path, "rb") as file:
            return file.read(BYTES)
    except (OSError, EOFError, gzip.BadGzipFile):
        return b""


def _reader(path):
    if not path.exists():
        what = f"is a link to {path.readlink()}, which is not there" if path.is_symlink() else "is not there"
        raise CountsError(f"{path}: {what}")
    if path.is_file() and path.stat().st_size == 0:
        raise CountsError(f"{path.name}: the file is empty")
    reason = next((text for head, text in NO_DATA.items() if _head(path).startswith(head)), "")
    if reason:
        raise CountsError(f"{path.name}: {reason}")
    if packer := _packer(path):
        raise CountsError(f"{path.name}: is packed by {packer}: unpack it")
    reader = {"hdf5": read_hdf5, "mtx": read_mtx, "npz": read_npz, "zarr": read_zarr}.get(kind_of(path))
    if reader is None:
        table = f"; {TABLE_HINT}" if path.name.lower().removesuffix(".gz").endswith(TABLES) else ""
        raise CountsError(f"{path.name}: not a format that is read; give one of {', '.join(PLAIN)}{table}")
    return reader


def _packer(path):
    """What packed a file that is not what its ending says; "": nothing did. .npz are zips themselves."""
    head = _head(path)
    if head[TAR_AT:].startswith(TAR):
        return "tar"
    packer = next((packer for magic, packer in PACKED.items() if head.startswith(magic)), "")
    return "" if packer == "zip" and kind_of(path) == "npz" else packer


def _unpacked(path, scratch):
    """The file itself, or unpacked in `scratch`; MatrixMarket stays where its tables are."""
    if path.is_dir() or kind_of(path) == "mtx" or not is_gzip(path):
        return path
    unpacked = scratch / path.name.removesuffix(".gz")
    with gzip.open(path) as source, unpacked.open("wb") as target:
        shutil.copyfileobj(source, target)
    return unpacked


def read_zarr(path):
    import anndata

    if not is_annotated(keys := {part.name for part in path.iterdir()}):
        raise CountsError(f"{path.name}: {unknown(keys)}")
    return annotated(anndata.read_zarr(path), path.name)


def read_npz(path):
    found = _npz(path)
    if path.name.endswith(".train.npz"):
        rest = path.with_name(path.name.removesuffix(".train.npz") + ".test.npz")
        if rest.exists():
            parts = [checked(part, path.name) for part in (found.matrix, _npz(rest).matrix)]  # small integers
            found.matrix = parts[0] + parts[1]  # would overflow in the sum
    return found


def _npz(path):
    with np.load(path, allow_pickle=False) as parts:
        genes, cells = (list(parts[name]) if name in parts else [] for name in ("genes", "cells"))
        return Counts(
            _sparse(path, parts), genes, cells, oriented=bool(genes or cells) or "oriented" in parts
        )


def _sparse(path, parts):
    """Of CSR parts, or of what scipy.sparse.save_npz writes."""
    if "format" in parts:
        return sparse.csr_matrix(sparse.load_npz(path))
    missing = [name for name in ("data", "indices", "indptr", "shape") if name not in parts]
    if missing:
        raise CountsError(f"{path.name}: has no {', '.join(missing)}; CSR parts are wanted")
    shape = tuple(int(length) for length in parts["shape"])
    indices, pointers = parts["indices"].astype(np.int64), parts["indptr"].astype(np.int64)
    matrix = sparse.csr_matrix((parts["data"], indices, pointers), shape=shape)
    matrix.check_format(full_check=True)
    return matrix

"""Reads a matrix of counts, cells x genes, from what single-cell tools write, and says what is wrong with it.

    .h5ad            AnnData: layers["counts"], raw or X, the first that holds counts
    .h5              10x Genomics CellRanger
    .mtx, .mtx.gz    genes x cells as CellRanger writes it where features/genes and barcodes lie beside it,
                     else cells x genes
    .npz             CSR parts data, indices, indptr, shape; NAME.train.npz and NAME.test.npz are added up
    scanpy           the matrix that scanpy ships, its counts recovered

scanpy and anndata are imported where a format needs them, as that takes seconds.
"""

import hashlib
import importlib.util
import warnings
from pathlib import Path

import numpy as np
from scipy import sparse

SUFFIXES = (".h5ad", ".h5", ".mtx", ".mtx.gz", ".npz")
BUNDLED = "scanpy"
BUNDLED_SHA256 = "e71d41e737c941559b7c57c9243bdb3d2c889c2adfdf00e3422ac6b46783676f"
MOST_ENTRIES = 400_000_000  # nonzero ones that are read
TINY = 1e-6  # how far a whole number may be from one, in a file of floats


class CountsError(Exception):
    """The matrix can't be used. Its text says what is wrong and how to fix it."""


def read_counts(source):
    """(counts as CSR of float32 whole numbers, names of the genes or []). Raises CountsError."""
    path = Path(source)
    reader = READERS.get(suffix(path))
    if reader is None:
        raise CountsError(f"{path.name}: not a format that is read; give one of {', '.join(SUFFIXES)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            matrix, genes = reader(path)
    except CountsError:
        raise
    except MemoryError:
        raise CountsError(f"{path.name}: too large for this machine's memory; give fewer cells") from None
    except Exception as error:  # readers raise whatever their libraries do
        said = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        raise CountsError(f"{path.name}: can't be read ({said}); write it again with scanpy") from None
    return checked(matrix, path.name), [str(gene) for gene in genes]


def suffix(path):
    name = path.name.lower()
    return next((ending for ending in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(ending)), "")


def name_of(path):
    """A matrix's name: the file's without its ending."""
    name = path.name[: len(path.name) - len(suffix(path))]
    return name.removesuffix(".train")


def checked(matrix, name):
    """As CSR of whole numbers; raises CountsError that names the fault and a hint."""
    if getattr(matrix, "ndim", 0) != 2 or 0 in matrix.shape:
        raise CountsError(f"{name}: the matrix is empty (shape {getattr(matrix, 'shape', '?')})")
    if matrix.dtype.kind not in "biuf":
        raise CountsError(f"{name}: holds {matrix.dtype}, not numbers")
    counts = sparse.csr_matrix(matrix)
    if counts.nnz > MOST_ENTRIES:
        raise CountsError(f"{name}: {counts.nnz} nonzero counts; {MOST_ENTRIES} are read: give fewer cells")
    counts.sum_duplicates()
    values = counts.data
    if not np.isfinite(values).all():
        raise CountsError(
            f"{name}: {int((~np.isfinite(values)).sum())} counts are NaN or infinite; drop them"
        )
    if values.size and values.min() < 0:
        raise CountsError(f"{name}: the smallest count is {values.min():g}; give raw counts, not scaled ones")
    whole = np.rint(values)
    off = np.abs(values - whole) > TINY
    if off.any():
        raise CountsError(
            f"{name}: {float(off.mean()):.0%} of the nonzero counts are no whole numbers (such as "
            f"{values[off][0]:.4g}); give raw counts, not normalised or log ones"
        )
    counts = sparse.csr_matrix((whole.astype(np.float32), counts.indices, counts.indptr), counts.shape)
    counts.eliminate_zeros()
    if counts.nnz == 0:
        raise CountsError(f"{name}: every count is zero")
    return counts


def read_h5ad(path):
    import anndata

    data = anndata.read_h5ad(path)
    if "counts" in data.layers:
        return data.layers["counts"], data.var_names
    if data.raw is not None and _whole(data.raw.X):
        return data.raw.X, data.raw.var_names
    if data.X is None:
        raise CountsError(f"{path.name}: holds neither X nor a layer named counts")
    return data.X, data.var_names


def _whole(matrix):
    values = matrix.data if sparse.issparse(matrix) else np.asarray(matrix)
    return bool(np.isfinite(values).all() and (values == np.rint(values)).all())


def read_10x(path):
    import scanpy

    data = scanpy.read_10x_h5(path)
    return data.X, data.var_names


def read_mtx(path):
    from scipy.io import mmread

    matrix = mmread(path).tocsr()
    ending = suffix(path)
    head = path.name[: -len(ending)].removesuffix("matrix")
    found = [_lines(path.parent, head, names) for names in (("features.tsv", "genes.tsv"), ("barcodes.tsv",))]
    features, barcodes = found
    if features is None and barcodes is None:
        return matrix, []
    genes = [line.split("\t")[1 if "\t" in line else 0] for line in features or []]
    if features is not None and matrix.shape[0] == len(features):
        return matrix.T.tocsr(), genes
    if barcodes is not None and matrix.shape[1] == len(barcodes) and features is None:
        return matrix.T.tocsr(), []
    if features is not None and matrix.shape[1] == len(features):
        return matrix, genes
    raise CountsError(f"{path.name}: its shape {matrix.shape} fits neither features nor barcodes beside it")


def _lines(folder, head, names):
    import gzip

    for name in names:
        for file, opened in ((folder / f"{head}{name}", open), (folder / f"{head}{name}.gz", gzip.open)):
            if file.exists():
                with opened(file, "rt") as text:
                    return text.read().splitlines()
    return None


def read_npz(path):
    matrix, genes = _npz(path)
    if path.name.endswith(".train.npz"):
        rest = path.with_name(path.name.removesuffix(".train.npz") + ".test.npz")
        if rest.exists():
            matrix = matrix + _npz(rest)[0]
    return matrix, genes


def _npz(path):
    with np.load(path, allow_pickle=False) as parts:
        missing = [name for name in ("data", "indices", "indptr", "shape") if name not in parts]
        if missing:
            raise CountsError(f"{path.name}: has no {', '.join(missing)}; CSR parts are wanted")
        shape = tuple(int(length) for length in parts["shape"])
        indices, pointers = parts["indices"].astype(np.int64), parts["indptr"].astype(np.int64)
        matrix = sparse.csr_matrix((parts["data"], indices, pointers), shape=shape)
        matrix.check_format(full_check=True)
        return matrix, list(parts["genes"]) if "genes" in parts else []


def bundled_path():
    """The file that scanpy ships. Found without importing scanpy, which takes seconds."""
    found = importlib.util.find_spec("scanpy")
    if found is None or found.origin is None:
        raise CountsError("scanpy is not installed; install the extra: pip install 'ratchet-sia[bio]'")
    return Path(found.origin).parent / "datasets" / "10x_pbmc68k_reduced.h5ad"


def read_bundled():
    """(700 x 765 counts, genes). .raw holds log(1 + count * 10^4 / n_counts) rounded to three decimals; the
    rounding is far smaller than the step from one whole count to the next, so the counts are exact."""
    import h5py

    path = bundled_path()
    if hashlib.sha256(path.read_bytes()).hexdigest() != BUNDLED_SHA256:
        raise CountsError(f"{path} is not the file that this task knows; install scanpy 1.11")
    with h5py.File(path) as file:
        raw = file["raw.X"]
        logs = sparse.csr_matrix(
            (raw["data"][:].astype(np.float64), raw["indices"][:], raw["indptr"][:]),
            tuple(raw.attrs["h5sparse_shape"]),
        )
        sizes = np.asarray(file["obs"]["n_counts"], np.float64)
        genes = [name.decode() for name in file["raw.var"]["index"]]
    return checked(recover_counts(logs, sizes), BUNDLED), genes


def recover_counts(logs, sizes):
    """The whole numbers behind log(1 + count * 10^4 / size). Raises CountsError where they are not whole."""
    exact = logs.copy()
    exact.data = np.expm1(logs.data) * np.repeat(sizes, np.diff(logs.indptr)) / 1e4
    off = float(np.abs(exact.data - np.rint(exact.data)).max())
    if off > 0.25:
        raise CountsError(f"counts can't be recovered: one is {off:.2f} away from a whole number")
    exact.data = np.rint(exact.data)
    return exact


READERS = {
    ".h5ad": read_h5ad,
    ".h5": read_10x,
    ".mtx": read_mtx,
    ".mtx.gz": read_mtx,
    ".npz": read_npz,
}

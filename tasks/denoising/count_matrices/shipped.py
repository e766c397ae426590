"""The matrix that scanpy ships, its counts recovered: 700 blood cells x 765 genes."""

import hashlib
import importlib.util
from pathlib import Path

import h5py
import numpy as np
from scipy import sparse

from count_matrices.matrix import CountsError, checked

BUNDLED = "scanpy"
BUNDLED_SHA256 = "e71d41e737c941559b7c57c9243bdb3d2c889c2adfdf00e3422ac6b46783676f"


def bundled_path():
    """The file that scanpy ships. Found without importing scanpy, which takes seconds."""
    found = importlib.util.find_spec("scanpy")
    if found is None or found.origin is None:
        raise CountsError("scanpy is not installed; install the extra: pip install 'ratchet-sia[bio]'")
    return Path(found.origin).parent / "datasets" / "10x_pbmc68k_reduced.h5ad"


def read_bundled():
    """(700 x 765 counts, genes). .raw holds log(1 + count * 10^4 / n_counts) rounded to three decimals; the
    rounding is far smaller than the step from one whole count to the next, so the counts are exact."""
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

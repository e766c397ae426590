"""Arrays in one flat file, across the wall between the verifier and a boxed program. numpy and scipy only.

    8 bytes: length of the header | header: JSON [{name, shape, arrays: [[dtype, shape], ..]}, ..] | raw data

A dense array is one array and shape null; a sparse matrix its CSR data, indices, indptr, and its shape. There
is nothing to unpickle or to inflate, and nothing that is read is believed: every size is compared with the
file's before memory is taken, every index of a sparse matrix with its shape.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import IO, Any, TypeAlias

import numpy as np

Value: TypeAlias = Any  # numpy.ndarray | scipy.sparse.csr_matrix; scipy carries no types
Values: TypeAlias = dict[str, Value]

DTYPES = (
    *("|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8"),
    "<f2",
    "<f4",
    "<f8",
    "<c8",
    "<c16",
)
HEADER_BYTES = 64 << 10
MOST_ARRAYS = 64
NAME_CHARS = 100


class ArrayFileError(Exception):
    """Not a file of this format, or a value that it can't hold. Its text is fit for a person."""


def write_arrays(file: IO[bytes], values: Mapping[str, Value]) -> None:
    """Raises ArrayFileError for what is neither numbers nor booleans."""
    header, bodies = [], []
    for name, value in values.items():
        parts = [value]
        if is_sparse(value):
            value = value.tocsr()
            parts = [value.data, value.indices, value.indptr]
        arrays = [_plain(name, part) for part in parts]
        shape = [int(size) for size in value.shape] if len(parts) > 1 else None
        arrays_said = [[array.dtype.str, list(array.shape)] for array in arrays]
        header.append({"name": name, "shape": shape, "arrays": arrays_said})
        bodies += arrays
    text = json.dumps(header).encode()
    file.write(len(text).to_bytes(8, "little") + text)
    for body in bodies:
        file.write(body.reshape(-1).view(np.uint8).data)


def read_arrays(file: IO[bytes], size: int) -> Values:
    """All values of a file of `size` bytes, writable and ours. Raises ArrayFileError."""
    try:
        length = int.from_bytes(file.read(8), "little")
        if length > min(HEADER_BYTES, size):
            raise ArrayFileError("its header is too long")
        header, left = json.loads(file.read(length)), size - 8 - length
        if len(header) > MOST_ARRAYS:
            raise ArrayFileError(f"it holds {len(header)} values; {MOST_ARRAYS} are allowed")
        values: Values = {}
        for entry in header:
            parts = []
            for dtype, shape in entry["arrays"]:
                parts.append(_read(file, dtype, shape, left))
                left -= parts[-1].nbytes
            values[_name(entry["name"])] = _whole(parts, entry["shape"])
    except (ValueError, TypeError, KeyError, LookupError, RecursionError, OverflowError) as error:
        raise ArrayFileError(f"it is not a file of arrays: {error}") from None
    return values


def is_sparse(value: object) -> bool:
    """Whether it is one of scipy's sparse matrices, without importing scipy to ask."""
    return hasattr(value, "tocsr") and hasattr(value, "nnz")


def _plain(name: str, array: Any) -> np.ndarray[Any, Any]:
    """In C order and the machine's byte order."""
    found = np.ascontiguousarray(array).reshape(np.shape(array))  # the first makes a number a row of one
    if found.dtype.str not in DTYPES:
        raise ArrayFileError(f"{name} is an array of {found.dtype}; numbers of at most 64 bits are wanted")
    return found


def _name(value: Any) -> str:
    if not isinstance(value, str) or len(value) > NAME_CHARS:
        raise ArrayFileError("a value has no proper name")
    return value


def _read(file: IO[bytes], dtype: Any, shape: Any, left: int) -> np.ndarray[Any, Any]:
    if dtype not in DTYPES or any(type(length) is not int or length < 0 for length in shape):
        raise ArrayFileError(f"an array of {dtype!r} with shape {shape!r}")
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    if wanted > left:
        raise ArrayFileError(f"an array of {wanted} bytes, of which the file holds {left}")
    body = bytearray(wanted)
    if file.readinto(body) != wanted:  # type: ignore[attr-defined]
        raise ArrayFileError("it ends too soon")
    return np.frombuffer(body, dtype).reshape(shape)


def _whole(parts: list[np.ndarray[Any, Any]], shape: Any) -> Value:
    if shape is None:
        (array,) = parts
        return array
    from scipy import sparse

    data, indices, indptr = parts
    if indices.dtype.str not in ("<i4", "<i8") or indptr.dtype != indices.dtype or data.ndim != 1:
        raise ArrayFileError("a sparse matrix with improper indices")
    rows, columns = shape
    if type(rows) is not int or type(columns) is not int or len(indptr) != rows + 1:
        raise ArrayFileError(f"a sparse matrix of shape {shape!r} with {len(indptr) - 1} rows")
    if data.dtype == np.float16:  # scipy has no sparse matrices of it: most of their methods raise
        data = data.astype(np.float32)
    _check_rows(indices, indptr, columns)
    matrix = sparse.csr_matrix((data, indices, indptr), shape=(rows, columns))
    matrix.check_format(full_check=True)
    matrix.sum_duplicates()
    return matrix


def _check_rows(indices: np.ndarray[Any, Any], indptr: np.ndarray[Any, Any], columns: int) -> None:
    """scipy's C code trusts both, and its own check looks at neither where the last row ends at 0."""
    if indices.ndim != 1 or indptr.ndim != 1:
        raise ArrayFileError("a sparse matrix with improper indices")
    grows = indptr[0] == 0 and indptr[-1] <= len(indices) and bool(np.all(indptr[1:] >= indptr[:-1]))
    if not grows or bool(np.any(indices < 0)) or bool(np.any(indices >= columns)):
        raise ArrayFileError("a sparse matrix whose rows or columns are out of bounds")

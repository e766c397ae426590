"""Arrays that cross the wall as files: what goes in comes out, and a hostile file is refused for a reason."""

import io
import json

import numpy as np
import pytest
from scipy import sparse

from sandbox_service.verify.array_files import ArrayFileError, Values, read_arrays, write_arrays

MATRIX = sparse.csr_matrix(np.array([[0, 2.5], [0, 0], [1, 0]]))


def written(values: Values) -> bytes:
    file = io.BytesIO()
    write_arrays(file, values)
    return file.getvalue()


def read(data: bytes) -> Values:
    return read_arrays(io.BytesIO(data), len(data))


def forged(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def sparse_entry(shape: list[int], indices: list[int], indptr: list[int]) -> bytes:
    arrays = [["<f8", [len(indices)]], ["<i4", [len(indices)]], ["<i4", [len(indptr)]]]
    body = np.ones(len(indices)).tobytes() + np.array([*indices, *indptr], np.int32).tobytes()
    return forged([{"name": "x", "shape": shape, "arrays": arrays}], body)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(6, dtype=np.int16).reshape(2, 3),
        np.asfortranarray(np.eye(3, 2)),
        np.arange(10.0)[::-2],
        np.zeros((3, 0)),
        np.float32(2.5),
        np.array([True, False]),
        np.array([1j, np.nan]),
    ],
)
def test_numbers_of_every_kind_and_layout_come_back_as_they_were(value):
    found = read(written({"x": value}))["x"]
    assert (found.dtype, found.shape) == (value.dtype, np.shape(value))
    assert np.array_equal(found, value, equal_nan=True)
    assert found.flags.writeable


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "dia"])
def test_sparse_matrices_of_every_layout_come_back_as_csr(layout):
    found = read(written({"x": MATRIX.asformat(layout), "y": np.arange(2)}))
    assert sparse.isspmatrix_csr(found["x"])
    assert (found["x"] != MATRIX).nnz == 0
    assert found["y"].tolist() == [0, 1]


def test_duplicate_entries_of_a_sparse_matrix_are_added_up():
    found = read(sparse_entry([1, 3], [2, 2], [0, 2]))["x"]
    assert (found.nnz, found.toarray().tolist()) == (1, [[0, 0, 2]])


@pytest.mark.parametrize(
    "value",
    [np.array(["text"]), np.array([None]), np.array([1], "datetime64[s]"), np.array([1], np.longdouble)],
)
def test_what_is_no_plain_number_is_not_written(value):
    with pytest.raises(ArrayFileError, match="numbers of at most 64 bits"):
        written({"x": value})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04cos\nsystem\n.",
        b"\xff" * 8,
        forged(b"[" * 60_000),
        forged(b"1" * 5000),
        forged({"name": "x"}),
        forged([{}]),
        forged([{"name": "x", "shape": None, "arrays": [["|O", [1]]]}], b"12345678"),
        forged([{"name": "x", "shape": None, "arrays": [["<f8", [-1]]]}]),
        forged([{"name": "x", "shape": None, "arrays": [["<f8", [True]]]}], b"12345678"),
        forged([{"name": "x", "shape": None, "arrays": [["<f8", [1 << 40, 0]], ["<f8", [0]]]}]),
        forged([{"name": ["x"], "shape": None, "arrays": [["<f8", [0]]]}]),
        forged([{"name": "x" * 101, "shape": None, "arrays": [["<f8", [0]]]}]),
        forged([{"name": str(i), "shape": None, "arrays": [["<f8", [0]]]} for i in range(65)]),
    ],
)
def test_what_is_not_of_the_format_is_refused(data):
    with pytest.raises(ArrayFileError):
        read(data)


def test_a_file_can_not_make_us_take_more_memory_than_it_has_bytes():
    for lengths in ([1 << 50], [1 << 30, 1 << 30], [2]):
        with pytest.raises(ArrayFileError, match="of which the file holds 8"):
            read(forged([{"name": "x", "shape": None, "arrays": [["<f8", lengths]]}], b"12345678"))


@pytest.mark.parametrize(
    ("shape", "indices", "indptr"),
    [
        ([1, 3], [3], [0, 1]),  # a column beyond the last
        ([1, 3], [-1], [0, 1]),
        ([2, 3], [0, 1], [0, 2, 1]),  # rows that run backwards
        ([1, 3], [0], [0, 1 << 30]),  # a row beyond the data
        ([2, 3], [0], [0, 1 << 20, 0]),  # a row beyond the data, and nothing in the last one
        ([2, 3], [0], [0, -1, 0]),
        ([3, 3], [0], [0, 1]),  # too few rows
        ([1, 1 << 70], [0], [0, 1]),
        ([1], [0], [0, 1]),
    ],
)
def test_a_sparse_matrix_that_points_outside_of_itself_is_refused(shape, indices, indptr):
    with pytest.raises(ArrayFileError):
        read(sparse_entry(shape, indices, indptr))


def test_a_file_cut_short_is_refused():
    data = written({"x": np.arange(100), "y": MATRIX})
    for length in range(len(data)):
        with pytest.raises(ArrayFileError):
            read(data[:length])


def test_a_sparse_matrix_of_float16_is_read_as_one_that_scipy_has() -> None:
    class Half:
        """As a candidate may make one: scipy's own refuse the type."""

        nnz, shape = 2, (1, 3)
        data = np.array([1.5, 2.0], np.float16)
        indices, indptr = np.array([0, 2], np.int32), np.array([0, 2], np.int32)

        def tocsr(self) -> "Half":
            return self

    file = io.BytesIO()
    write_arrays(file, {"out": Half()})
    size = file.tell()
    file.seek(0)

    found = read_arrays(file, size)["out"]

    assert found.toarray().tolist() == [[1.5, 0.0, 2.0]]
    assert found.dtype == np.float32

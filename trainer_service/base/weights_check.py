"""Checks that the weights of a safetensors file are finite; numpy alone, a piece at a time, so that handlers
may import it."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from shared.errors import ArtifactError

# safetensors' name of a float type -> (as unsigned integers, exponent bits: all set in NaN and infinity)
EXPONENTS = {
    "F64": (np.uint64, 0x7FF0000000000000),
    "F32": (np.uint32, 0x7F800000),
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
}
T = TypeVar("T")
CHUNK = 1 << 24  # values at a time


def check_finite(path: Path) -> None:
    """Raises ArtifactError naming the first tensor that holds NaN or infinity, or a damaged file."""
    if not path.stat().st_size:
        raise ArtifactError(f"{path.name} is empty", "complete the download")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start, tensors = _tensors(path, data)
        for name, (dtype, low, high) in tensors.items():
            if start + high > len(data):
                raise ArtifactError(f"{path.name} is cut short: tensor {name} is missing")
            if dtype in EXPONENTS and not _finite(data, start + low, high - low, dtype):
                raise ArtifactError(f"{path.name}: tensor {name} holds NaN or infinity")
        if start + max((high for _, _, high in tensors.values()), default=0) < len(data):
            raise ArtifactError(f"{path.name} is longer than its tensors", "download it again")


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Of each tensor, by name, of a file that check_finite has passed; reads the header alone."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _header(path, data, lambda entry: tuple(map(int, entry["shape"])))[1]


def _tensors(path: Path, data: mmap.mmap) -> tuple[int, dict[str, tuple[str, int, int]]]:
    """Where the values begin; and of each tensor its type, its beginning and its end from there."""
    return _header(path, data, _place)


def _header(path: Path, data: mmap.mmap, read: Callable[[Any], T]) -> tuple[int, dict[str, T]]:
    """Where the values begin; and what `read` takes from each tensor's entry."""
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8:start])
        return start, {name: read(entry) for name, entry in header.items() if name != "__metadata__"}
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ArtifactError(f"{path.name} is no safetensors file: {error!r}") from None


def _place(entry: Any) -> tuple[str, int, int]:
    low, high = map(int, entry["data_offsets"])
    if not 0 <= low <= high:
        raise ValueError("a tensor ends before it begins")
    return str(entry["dtype"]), low, high


def _finite(data: mmap.mmap, offset: int, size_bytes: int, dtype: str) -> bool:
    kind, mask = EXPONENTS[dtype]
    width, exponent = np.dtype(kind).itemsize, np.array(mask, dtype=kind)
    for start in range(offset, offset + size_bytes, CHUNK * width):
        count = min(CHUNK, (offset + size_bytes - start) // width)
        bits: npt.NDArray[np.unsignedinteger] = np.frombuffer(data[start : start + count * width], dtype=kind)
        if bool((np.bitwise_and(bits, exponent) == exponent).any()):
            return False
    return True

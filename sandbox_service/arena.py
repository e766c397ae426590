"""The memory that a boxed kernel shares with the trusted parent: inputs and outputs of one call, in one file.

The parent reads and writes it as a file and never maps it: a candidate may cut a file that it holds, and a
mapped page that is gone kills whoever touches it.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

import numpy as np

from shared.errors import BoxError

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
Arrays: TypeAlias = dict[str, Array]

MEMORY_FOLDER = Path("/dev/shm")
PAGE_BYTES = 4096
DIGEST_WORDS = 1 << 20  # at a time
DIGEST_STEP = np.uint32(0x9E37_79B1)
POISON = np.uint32(0x7FC0_D1CE)  # a NaN that no arithmetic makes: what still holds it was never written


class Arena:
    """Inputs first, then outputs, each at a page of its own."""

    def __init__(self, inputs: Mapping[str, Array], output_shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.output_shapes = dict(output_shapes)
        sizes = [array.nbytes for array in inputs.values()]
        sizes += [4 * math.prod(shape) for shape in output_shapes.values()]
        ends = np.cumsum([-(-size // PAGE_BYTES) * PAGE_BYTES for size in sizes]).tolist()
        starts = [0, *ends[:-1]]
        self.input_offsets, self.output_offsets = starts[: len(inputs)], starts[len(inputs) :]
        self.size_bytes: int = ends[-1]
        handle, name = tempfile.mkstemp(prefix="ratchet-arena-", dir=MEMORY_FOLDER)
        self._handle, self.path = handle, Path(name)
        os.ftruncate(handle, self.size_bytes)

    def fill(self, inputs: Mapping[str, Array]) -> None:
        """Write the inputs, and poison over every output."""
        for offset, array in zip(self.input_offsets, inputs.values(), strict=True):
            self._write(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, offset)
        for offset, shape in zip(self.output_offsets, self.output_shapes.values(), strict=True):
            self._write(np.full(math.prod(shape), POISON).view(np.uint8).data, offset)

    def outputs(self) -> Arrays:
        """A copy of the outputs as they are now; what a candidate cut off reads as poison."""
        found: Arrays = {}
        for offset, (name, shape) in zip(self.output_offsets, self.output_shapes.items(), strict=True):
            values = np.full(math.prod(shape), POISON)
            view, done = values.view(np.uint8).data, 0
            while done < len(view) and (got := os.preadv(self._handle, [view[done:]], offset + done)):
                done += got
            found[name] = values.view(np.float32).reshape(shape)
        return found

    def digest(self, number: int) -> int:
        """What kernel_driver.c must answer `number` with, for all outputs as they are now."""
        start, total = self.output_offsets[0], number
        for first in range(0, (self.size_bytes - start) // 4, DIGEST_WORDS):
            size = min(4 * DIGEST_WORDS, self.size_bytes - start - 4 * first)
            data = os.pread(self._handle, size, start + 4 * first)
            words = np.frombuffer(data.ljust(size, b"\0"), np.uint32)
            keys = np.arange(first, first + len(words), dtype=np.uint32) * DIGEST_STEP
            mixed = (words + keys + np.uint32(number & 0xFFFF_FFFF)).astype(np.uint64)
            total += int((mixed[::2] * mixed[1::2]).sum())
        return total % (1 << 64)

    def _write(self, data: memoryview, offset: int) -> None:
        try:
            while data:
                done = os.pwrite(self._handle, data, offset)
                data, offset = data[done:], offset + done
        except OSError as error:
            mend = f"give {MEMORY_FOLDER} more room (docker: --shm-size) or use smaller instances"
            raise BoxError(f"can't write a kernel's inputs: {error.strerror}", mend) from error

    def __enter__(self) -> Arena:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)
        self.path.unlink(missing_ok=True)


def unwritten(values: Array) -> int:
    """How many elements of an output still hold the poison."""
    return int(np.count_nonzero(values.view(np.uint32) == POISON))

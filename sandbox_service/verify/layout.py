"""The layout of one call's arrays in a kernel's memory, and how they are read out of it: inputs first, then
outputs, each at a page of its own. No memory is held here; arena.py and pod_kernel.py hold it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
Arrays: TypeAlias = dict[str, Array]

PAGE_BYTES = 4096
POISON = np.uint32(0x7FC0_D1CE)  # a NaN that no arithmetic makes: what still holds it was never written


class Layout:
    """Of inputs of these sizes, and float32 outputs of these shapes."""

    def __init__(self, inputs: Mapping[str, Array], output_shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.output_shapes = dict(output_shapes)
        sizes = [array.nbytes for array in inputs.values()]
        sizes += [4 * math.prod(shape) for shape in output_shapes.values()]
        ends = np.cumsum([-(-size // PAGE_BYTES) * PAGE_BYTES for size in sizes]).tolist()
        starts = [0, *ends[:-1]]
        self.input_offsets, self.output_offsets = starts[: len(inputs)], starts[len(inputs) :]
        self.size_bytes: int = ends[-1]

    @property
    def outputs_start(self) -> int:
        return int(self.output_offsets[0])

    @property
    def outputs_bytes(self) -> int:
        return self.size_bytes - self.outputs_start

    def words(self) -> list[int]:
        """For kernel_driver.c: the size, then number and offsets of the inputs, then of the outputs."""
        counts = [len(self.input_offsets), *self.input_offsets]
        return [self.size_bytes, *counts, len(self.output_offsets), *self.output_offsets]

    def packed(self, inputs: Mapping[str, Array]) -> bytes:
        """All that lies in front of the outputs."""
        data = bytearray(self.outputs_start)
        for offset, array in zip(self.input_offsets, inputs.values(), strict=True):
            data[offset : offset + array.nbytes] = np.ascontiguousarray(array).tobytes()
        return bytes(data)

    def unpacked(self, data: bytes) -> Arrays:
        """The outputs, from what lies in their place; what is missing there reads as poison."""
        whole = self._whole(data)
        found: Arrays = {}
        for offset, (name, shape) in zip(self.output_offsets, self.output_shapes.items(), strict=True):
            values = np.frombuffer(whole, np.float32, math.prod(shape), offset - self.outputs_start)
            found[name] = values.reshape(shape)
        return found

    def _whole(self, data: bytes) -> bytes:
        if len(data) == self.outputs_bytes:
            return data
        return data[: len(data) // 4 * 4] + POISON.tobytes() * (
            (self.outputs_bytes - len(data) // 4 * 4) // 4
        )


def unwritten(values: Array) -> int:
    """How many elements of an output still hold the poison."""
    return int(np.count_nonzero(values.view(np.uint32) == POISON))

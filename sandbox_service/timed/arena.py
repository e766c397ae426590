"""The memory that a kernel's process on this machine shares with the trusted parent, in one file.

The parent reads and writes it as a file and never maps it: a candidate may cut a file that it holds, and a
mapped page that is gone kills the process that accesses it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from sandbox_service.verify.layout import POISON, Array, Arrays, Layout
from shared.box.kernel_call import read_there, write_whole
from shared.errors import BoxError

MEMORY_FOLDER = Path("/dev/shm")


class Arena(Layout):
    """The file, for as long as the context lasts."""

    def __init__(self, inputs: Mapping[str, Array], output_shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__(inputs, output_shapes)
        handle, name = tempfile.mkstemp(prefix="ratchet-arena-", dir=MEMORY_FOLDER)
        self._handle, self.path = handle, Path(name)
        os.ftruncate(handle, self.size_bytes)

    def fill(self, inputs: Mapping[str, Array]) -> None:
        """Write the inputs, and poison over every output."""
        poison = POISON.tobytes() * (self.outputs_bytes // 4)
        try:
            write_whole(self._handle, self.packed(inputs) + poison)
        except OSError as error:
            hint = f"give {MEMORY_FOLDER} more room (docker: --shm-size) or use smaller instances"
            raise BoxError(f"can't write a kernel's inputs: {error.strerror}", hint) from error

    def outputs_as_they_are(self) -> bytes:
        """A copy; shorter where a candidate cut the file."""
        return read_there(self._handle, self.outputs_start, self.outputs_bytes)

    def outputs(self) -> Arrays:
        return self.unpacked(self.outputs_as_they_are())

    def unname(self) -> None:
        """Once the kernel's process has mapped it: however this process ends, no file is left behind."""
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Arena:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._handle)
        self.unname()

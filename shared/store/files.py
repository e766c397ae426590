"""Files of any size for a store and its caches: copied piece by piece, or given a second name on the same
disk (a hard link). A file with two names is only read from then on.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

PIECE_BYTES = 1 << 22
FOR_ALL = 0o644


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy_file(source: Path, target: Path) -> str:
    """Whole or not at all; returns the sha256 of what was copied. Raises OSError."""
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".tmp-")
    copied = hashlib.sha256()
    try:
        with os.fdopen(handle, "wb") as into, source.open("rb") as out_of:
            while piece := out_of.read(PIECE_BYTES):
                copied.update(piece)
                into.write(piece)
            os.fchmod(into.fileno(), FOR_ALL)
            into.flush()
            os.fsync(into.fileno())
        os.replace(temporary, target)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return copied.hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """The same bytes under a second name; copied where no link can be made: another disk, or a file system
    without links. A target that exists is left as it is. Raises OSError."""
    real = source.resolve()
    try:
        os.link(real, target)
    except FileExistsError:
        pass
    except OSError:
        copy_file(real, target)

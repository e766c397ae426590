"""Reads a harness from a folder as people have it: what editors and desktops leave there is no part of it,
and a byte order mark is no character of a text.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from pathlib import Path

from shared.harness.bundle import EXEMPLARS, KNOBS, PROMPT, SCAFFOLD

TEXTS = (".md", ".txt", ".json", ".toml", ".py")  # an unknown file of these kinds may have been meant


def read_harness(folder: Path) -> dict[str, bytes]:
    """Its files by relative path, for load_harness, which refuses those of a wrong name. Left out are hidden
    files, editors' copies and what is no text (left_out)."""
    return {
        name: path.read_bytes().removeprefix(BOM_UTF8)
        for name, path in _files(folder).items()
        if not _is_foreign(name)
    }


def left_out(folder: Path) -> list[str]:
    """Files that are no part of the harness, without the hidden ones."""
    return [name for name in _files(folder) if _is_foreign(name) and not _is_hidden(name)]


def _files(folder: Path) -> dict[str, Path]:
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _is_foreign(name: str) -> bool:
    if name in (KNOBS, SCAFFOLD, EXEMPLARS) or PROMPT.fullmatch(name):
        return False
    return _is_hidden(name) or not name.lower().endswith(TEXTS)


def _is_hidden(name: str) -> bool:
    return any(part.startswith((".", "~$")) for part in name.split("/"))

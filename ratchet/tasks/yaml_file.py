"""Reads a YAML file with `!include FILE`: another file's text, or what it holds if that is YAML. Only files
of the same folder or beside it are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class MissingFile:
    """Takes the place of an included file that is missing; the reader decides whether that matters."""

    name: str


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    folder: Path


def load(path: Path) -> Any:
    """Raises OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError."""
    loader = _Loader(path.read_text(encoding="utf-8-sig"))
    loader.folder = path.parent.resolve()
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _include(loader: _Loader, node: yaml.Node) -> Any:
    wanted = (loader.folder / str(node.value)).resolve()
    if not wanted.is_relative_to(loader.folder.parent) or not wanted.is_file():
        return MissingFile(str(node.value))
    return load(wanted) if wanted.suffix in (".yml", ".yaml") else wanted.read_text(encoding="utf-8-sig")


_Loader.add_constructor("!include", _include)

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

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> Any:
        """PyYAML takes the last of two values of one key, silently."""
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice[0]!r} stands twice in one table", node.start_mark
            )
        return super().construct_mapping(node, deep)


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

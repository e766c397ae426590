"""The ledger, store and broker of a run, where they are not its own: `[stack]` in the config file,
`--set stack.x=y` and flags. Kept beside the run, so that later commands find them; secrets are never stored.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from shared.config.settings import StackParts, parse_override, read_toml
from shared.errors import SettingsError

FILE = "parts.json"
SECTION = "stack"


def layers(overrides: Sequence[str | Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Overrides as sections of a config: texts as `--set` takes them, tables as they are."""
    return [parse_override(found) if isinstance(found, str) else dict(found) for found in overrides]


def resolve(
    file: Path | None, overrides: Sequence[str | Mapping[str, Any]], **flags: str | None
) -> StackParts:
    """Flags win over --set, and that over the file. Raises SettingsError that names the key."""
    found: dict[str, Any] = {}
    for layer in [read_toml(file) if file else {}, *layers(overrides)]:
        section = layer.get(SECTION, {})
        if not isinstance(section, dict):
            raise SettingsError(f"{SECTION} is a section", f"write --set {SECTION}.ledger_url=URL")
        found |= section
    found |= {name: value for name, value in flags.items() if value is not None}
    return checked(found)


def checked(found: dict[str, Any]) -> StackParts:
    if "://" not in (folder := str(found.get("store_url", ""))) and folder:
        found = found | {"store_url": str(Path(folder).resolve())}
    try:
        return StackParts.model_validate(found)
    except ValidationError as error:
        wrong = [
            f"{SECTION}.{'.'.join(map(str, item['loc']))}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors()
        ]
        known = ", ".join(StackParts.model_fields)
        raise SettingsError("; ".join(wrong), f"[{SECTION}] may hold {known}") from None


def write(folder: Path, parts: StackParts) -> None:
    (folder / FILE).write_text(
        parts.model_dump_json(indent=2, exclude_defaults=True) + "\n", encoding="utf-8"
    )


def read(folder: Path) -> StackParts:
    """As written; empty where nothing was."""
    path = folder / FILE
    return checked(json.loads(path.read_bytes())) if path.exists() else StackParts()


def without_section(layer: dict[str, Any]) -> dict[str, Any]:
    """A layer of a run's config without the stack's section: where a run runs is no part of what it does."""
    return {key: value for key, value in layer.items() if key != SECTION}

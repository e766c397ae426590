"""Reads a user's instances for `ratchet eval`: JSON lines, one object each."""

from __future__ import annotations

import json
from pathlib import Path

from shared.errors import SettingsError
from shared.messages.records import JsonObject

FORM = "write one JSON object a line, in UTF-8"


def load_instances(path: Path) -> list[JsonObject]:
    """Raises SettingsError with the line's number."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # splitlines splits at U+2028, too
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"can't read the instances in {path}: {error}", FORM) from None
    instances = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            instance = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
            raise SettingsError(f"{path}, line {number} is not JSON: {reason}", FORM) from None
        if not isinstance(instance, dict):
            raise SettingsError(f"{path}, line {number} is no JSON object", FORM)
        instances.append({"id": f"{path.stem}-{number}"} | instance)
    if not instances:
        raise SettingsError(f"{path} holds no instance", FORM)
    return instances

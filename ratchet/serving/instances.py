"""Reads an instance out of a chat message: a JSON object, or text for the task's one text field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from shared.errors import SettingsError
from shared.messages.records import JsonObject, digest_of


def text_field(example: JsonObject) -> str | None:
    """The field that plain text goes into: the only string field beside `id`; None: there is none."""
    fields = [name for name, value in example.items() if name != "id" and isinstance(value, str)]
    return fields[0] if len(fields) == 1 else None


def read_instance(message: str, field: str | None) -> JsonObject:
    """Raises SettingsError for text where the task's instances have no single text field."""
    try:
        found = json.loads(message)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        if field is None:
            raise SettingsError(
                "the message is no JSON object", "send one instance of the task as JSON, without labels"
            )
        found = {field: message}
    return with_id(found)


def with_id(instance: Mapping[str, Any]) -> JsonObject:
    """The instance, with an id of its content where it has none."""
    return {"id": f"served-{digest_of(dict(instance))[:16]}"} | dict(instance)

"""The addresses of a local stack's base models: a small file for each, written by the stack, read by the
agent. A cluster has one endpoint with a stable name, and needs none of this.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import StoreUnavailableError


class ServedModel(BaseModel):
    """`name`: what requests call the base there. `api_key`: what the server asks for; empty: nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: str
    name: str
    api_key: str = Field("", repr=False)


def announce(folder: Path, base: str, model: ServedModel) -> None:
    """`base` is the digest of the model's bundle. In one step, over the earlier announcement."""
    temporary = folder / f".{base}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(model.model_dump_json())
        os.replace(temporary, folder / base)
    except OSError as error:
        raise StoreUnavailableError(f"can't write to {folder}: {error.strerror}") from error


def withdraw(folder: Path, base: str) -> None:
    (folder / base).unlink(missing_ok=True)


def look_up(folder: Path, base: str) -> ServedModel | None:
    """None: no server serves it (yet)."""
    try:
        return ServedModel.model_validate_json((folder / base).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None

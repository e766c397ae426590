"""The arms of a comparison: each is a whole improvement run with some settings. `base` is no run of its own:
every run's sealed test scores the first release as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.config.settings import read_toml
from shared.errors import SettingsError

BASE = "base"
LEVERS = ("harness", "weights", "both")


@dataclass(frozen=True)
class CompareArm:
    """`layer`: settings that the arm lays over everything else."""

    name: str
    layer: dict[str, Any]


def read_arms(names: Sequence[str]) -> list[CompareArm]:
    """Levers by name, or TOML files of the user's, named by their file name. Raises SettingsError."""
    arms = [_read(name) for name in names if name != BASE]
    seen = [arm.name for arm in arms]
    if len(set(seen)) < len(seen) or not arms:
        raise SettingsError(f"arms must differ and do something: {', '.join(names)}", _hint())
    return arms


def _read(name: str) -> CompareArm:
    if name in LEVERS:
        return CompareArm(name, {"run": {"levers": name}})
    file = Path(name)
    if file.suffix == ".toml" and file.is_file():
        return CompareArm(file.stem, read_toml(file))
    raise SettingsError(f"unknown arm {name!r}", _hint())


def _hint() -> str:
    return f"{BASE}, {', '.join(LEVERS)}, or a TOML file with the settings of an arm"

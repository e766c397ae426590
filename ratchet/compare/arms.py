"""The arms of a comparison. Levers, best-of-n and TOML files are whole runs with some settings; searches
(random, optuna, cmaes) and the task's baselines need no model; `base` is no run of its own, since every run's
sealed test scores the first release as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.config.settings import read_toml
from shared.errors import SettingsError

BASE = "base"
BEST_OF_N = "best-of-n"
LEVERS = ("harness", "weights", "both")
SEARCHES = ("random", "optuna", "cmaes")
BASELINE = "baseline:"  # and the name of one of the task's baselines


@dataclass(frozen=True)
class CompareArm:
    """`layer`: settings that the arm lays over everything else."""

    name: str
    layer: dict[str, Any] = field(default_factory=dict)

    @property
    def is_search(self) -> bool:
        return self.name in SEARCHES

    @property
    def baseline(self) -> str:
        """Which of the task's baselines it is; empty: none."""
        return self.name.removeprefix(BASELINE) if self.name.startswith(BASELINE) else ""

    @property
    def has_base(self) -> bool:
        """Whether its sealed test scores the first release under everyone's limits."""
        return self.name != BEST_OF_N and not self.is_search and not self.baseline


def read_arms(names: Sequence[str]) -> list[CompareArm]:
    """Arms by name, or TOML files of the user's, named by their file name. Raises SettingsError."""
    plain = [name.strip() for name in names]
    arms = [_read(name) for name in plain if name != BASE]
    seen = [arm.name for arm in arms]
    if len(set(seen)) < len(seen) or not arms:
        raise SettingsError(f"arms must differ and do something: {', '.join(names)}", _hint())
    if BASE in plain and not any(arm.has_base for arm in arms):
        raise SettingsError("base is scored by runs that pull a lever, and there is none", _hint())
    return arms


def _read(name: str) -> CompareArm:
    if name in LEVERS:
        return CompareArm(name, {"run": {"levers": name}})
    if name == BEST_OF_N or name in SEARCHES or name.removeprefix(BASELINE) not in ("", name):
        return CompareArm(name)
    file = Path(name)
    if file.suffix == ".toml" and file.is_file():
        return _of_file(file)
    raise SettingsError(f"unknown arm {name!r}", _hint())


def _of_file(file: Path) -> CompareArm:
    if file.stem in (BASE, BEST_OF_N, *LEVERS, *SEARCHES) or file.stem.startswith(BASELINE):
        raise SettingsError(f"{file.name} would be taken for the arm {file.stem!r}", "give it another name")
    return CompareArm(file.stem, read_toml(file))


def _hint() -> str:
    known = ", ".join((BASE, BEST_OF_N, *LEVERS, *SEARCHES, f"{BASELINE}NAME"))
    return f"{known}, or a TOML file with the settings of an arm"

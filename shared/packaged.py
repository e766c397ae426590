"""Finds the folders that are not packages (tasks, k8s): at the top of a clone, or in the installed wheel."""

from __future__ import annotations

from pathlib import Path

TOP = Path(__file__).resolve().parents[1]


def packaged(name: str) -> Path:
    """The folder `name` of this installation of Ratchet."""
    in_wheel = TOP / "ratchet" / "packaged" / name
    return in_wheel if in_wheel.is_dir() else TOP / name

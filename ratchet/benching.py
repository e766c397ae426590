"""Finds the program behind `ratchet bench NAME`; runs it as a process of its own, as some import torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from shared.errors import SettingsError

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


def run(name: str, arguments: list[str]) -> None:
    """Raises SettingsError for an unknown name; ends with the benchmark's exit code when that is not zero."""
    known = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    if name not in known:
        raise SettingsError(f"unknown benchmark {name!r}", f"known: {', '.join(known)}")
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], cwd=FOLDER.parent)
    if done.returncode != 0:
        sys.exit(done.returncode)

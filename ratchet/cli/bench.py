"""Finds the program behind `ratchet bench NAME`; runs it as a process of its own, as some import torch."""

from __future__ import annotations

import subprocess
import sys

from shared.errors import SettingsError
from shared.packaged import TOP

FOLDER = TOP / "benchmarks"


def run(name: str, arguments: list[str]) -> None:
    """Raises SettingsError for an unknown name; ends with the benchmark's exit code when that is not zero."""
    programs = [*FOLDER.glob("[!_]*.py"), *(path.parent for path in FOLDER.glob("*/__main__.py"))]
    known = sorted(path.stem for path in programs)
    if name not in known:
        raise SettingsError(f"unknown benchmark {name!r}", f"known: {', '.join(known)}")
    done = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *arguments], cwd=TOP)
    if done.returncode != 0:
        sys.exit(done.returncode)

"""Finds the program behind `ratchet bench NAME`; runs it as a process of its own, as some import torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from shared.children import end_with_parent
from shared.errors import SettingsError
from shared.packaged import TOP

FOLDER = TOP / "benchmarks"


def listing() -> dict[str, str]:
    """What each benchmark says of itself in its first sentence, by name, without importing any."""
    return {name: _first_sentence(program) for name, program in sorted(_programs().items())}


def run(name: str, arguments: list[str]) -> None:
    """Raises SettingsError for an unknown name; ends with the benchmark's exit code when that is not zero."""
    known = _programs()
    if name not in known:
        raise SettingsError(f"unknown benchmark {name!r}", f"known: {', '.join(sorted(known))}")
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, cwd=TOP, preexec_fn=end_with_parent)
    if done.returncode != 0:
        sys.exit(done.returncode)


def _programs() -> dict[str, Path]:
    files = {path.stem: path for path in FOLDER.glob("[!_]*.py")}
    return files | {path.parent.name: path for path in FOLDER.glob("*/__main__.py")}


def _first_sentence(program: Path) -> str:
    text = ast.get_docstring(ast.parse(program.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split()).partition(". ")[0].partition("`: ")[2].rstrip(".")

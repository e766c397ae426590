"""Writes a task folder around the source of a user's functions: what `@ratchet.task` makes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

TEMPLATE = Path(__file__).parent / "python_template"
# that a task may define:
FUNCTIONS = ("draw", "score", "answers", "check_instance", "from_feedback", "example")


@dataclass(frozen=True)
class Limits:
    """Of one attempt, and the bounds of a score."""

    candidates: int
    max_tokens: int
    low: float
    high: float


def write_task(folder: Path, prompt: str, verifier: str, examples: str, base: str, limits: Limits) -> None:
    """Into a folder that does not exist yet. `verifier`, `examples`: texts of modules; no examples: the task
    has no seed model."""
    shutil.copytree(TEMPLATE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    words = {
        "NAME": folder.name,
        "LOW": repr(float(limits.low)),
        "HIGH": repr(float(limits.high)),
        "CANDIDATES": str(limits.candidates),
        "REQUESTS": str(max(1, limits.candidates) + 1),
        "TOKENS": str(limits.max_tokens),
        "BASE": base,
    }
    text = (folder / "task.toml").read_text(encoding="utf-8")
    for word, value in words.items():
        text = text.replace(word, value)
    if examples:
        text += (folder / "corpus.toml").read_text(encoding="utf-8")
        (folder / "examples.py").write_text(examples, encoding="utf-8")
    else:
        (folder / "seed_corpus.py").unlink()
    (folder / "corpus.toml").unlink()
    (folder / "task.toml").write_text(text, encoding="utf-8")
    (folder / "verifier.py").write_text(verifier, encoding="utf-8")
    (folder / "harness" / "prompts" / "user.md").write_text(f"{prompt.strip()}\n", encoding="utf-8")

"""`ratchet init`: a new task folder from task_template/, which is itself a task that works."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import SettingsError

TEMPLATE = Path(__file__).parent / "template"
NAME = re.compile(r"[a-z][a-z0-9_-]*")  # of a task


def create(folder: Path) -> list[str]:
    """Copy the template; returns lines about what to do next. Raises SettingsError if the folder is there."""
    check_new(folder)
    with whole_folder(folder, TEMPLATE) as made:
        replace_in(made / "task.toml", "NAME", folder.name)
    return [
        f"{folder} works as it is: it asks for words of a given length",
        f"1. put your problem into {folder}/verifier.py: draw gives instances, score judges an answer",
        f"2. put your prompt into {folder}/harness/prompts/user.md, the answers' form into seed_corpus.py",
        f"3. ratchet validate {folder}",
        f"4. ratchet run {folder}",
    ]


def check_new(folder: Path) -> None:
    """Raises SettingsError where the folder is there or its name is none for a task."""
    if folder.exists():
        raise SettingsError(f"{folder} exists", "a task is never overwritten: choose another folder")
    if not NAME.fullmatch(folder.name):
        raise SettingsError(f"not a name for a task: {folder.name!r}", "lower-case letters, digits, - and _")


@contextmanager
def whole_folder(folder: Path, template: Path) -> Iterator[Path]:
    """A copy of the template, which becomes `folder` when the caller is done with it; nothing of it where the
    caller fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as work:
        made = Path(work) / folder.name
        shutil.copytree(template, made, ignore=shutil.ignore_patterns("__pycache__"))
        yield made
        made.rename(folder)


def replace_in(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

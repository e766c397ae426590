"""Tasks made in Python: from a function and a list, or from a class with draw and score. Each becomes a task
folder like any other, which the command line takes too.

The folder's name ends in a digest of its content: a changed function makes another folder, and a run that was
made with the old one keeps it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratchet.api.sources import module_source
from ratchet.check import Check
from ratchet.tasks import from_jsonl
from ratchet.tasks.new_task import NAME
from ratchet.tasks.python_task import FUNCTIONS, Limits, write_task
from ratchet.tasks.validate import validate
from shared.errors import SettingsError
from shared.messages.records import JsonObject
from shared.tasks.draws import draw
from shared.tasks.task import find_task

DEFAULT_PLACE = Path("runs/tasks")
Function = Callable[..., Any]


@dataclass(frozen=True)
class Task:
    """A task folder: one that is there, or one made by `from_rows` or `@ratchet.task`."""

    folder: Path

    @classmethod
    def open(cls, name: str | Path) -> Task:
        """A task's folder, or one of Ratchet's own by its name. Raises TaskError."""
        return cls(find_task(str(name)).folder)

    @classmethod
    def from_rows(
        cls,
        name: str,
        rows: Iterable[Mapping[str, Any]],
        score: str | Function = "exact",
        *,
        place: Path | str = DEFAULT_PLACE,
    ) -> Task:
        """A task out of rows with an input and a right answer (columns as `ratchet init --from-jsonl` guesses
        them), split into train, gate and test by their content. Forty rows at least.

        score: exact, contains, f1, numeric, regex, or a function (answer, right) -> float in [0, 1], whose
        source becomes the task's. Raises SettingsError for rows or a function that can't be used."""

        def make(folder: Path) -> None:
            with tempfile.TemporaryDirectory() as work:
                file = Path(work) / "rows.jsonl"
                lines = [json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows]
                file.write_text("".join(lines), encoding="utf-8")
                from_jsonl.create(folder, file, _metric(score, Path(work) / "metric.py"))

        return cls(_kept(name, Path(place), make))

    @property
    def name(self) -> str:
        return find_task(str(self.folder)).name

    def draw(self, split: str, count: int, seed: int = 0) -> list[JsonObject]:
        """Instances as the scaffold sees them: without labels. `test` is sealed, and refused here."""
        if split == "test":
            raise SettingsError("the test split is sealed", "draw from train or gate")
        return draw(find_task(str(self.folder)), split, count, seed)

    def validate(self) -> list[Check]:
        """What `ratchet validate` finds, a Check a part."""
        return validate(str(self.folder))


def task(
    *,
    prompt: str,
    name: str = "",
    model: str = "",
    candidates: int = 1,
    max_tokens: int = 64,
    low: float = 0.0,
    high: float = 1.0,
    place: Path | str = DEFAULT_PLACE,
) -> Callable[[type], Task]:
    """A class of static functions becomes a Task:

        @ratchet.task(prompt="Write a word of {length} letters.")
        class Words:
            @staticmethod
            def draw(split, count, seed): ...     # instances: dicts with an id of their own
            @staticmethod
            def score(instance, answer): ...      # between low and high
            @staticmethod
            def example(rng): ...                 # optional: (instance, answer) in the FORM of answers
            @staticmethod
            def answers(instance): ...            # optional: right answers of a train instance

    prompt: the fields of an instance stand in braces. model: the base; by default the small seed model where
    there is an `example` to make it from, else "smollm2". candidates: how many replies are tried on the score
    before one is answered; 0 where a trial would tell the answer. max_tokens: of a reply. Raises
    SettingsError where a function can't be written as source.
    """

    def decorate(cls: type) -> Task:
        functions = _functions_of(cls)
        limits = Limits(candidates, max_tokens, low, high)
        base = model or ("seed" if "example" in functions else "smollm2")

        def make(folder: Path) -> None:
            example = functions.get("example")
            verifier = [function for known, function in functions.items() if known != "example"]
            write_task(
                folder,
                prompt,
                module_source(verifier, "The trusted side of this task, from Python functions."),
                module_source([example], "An answer's form.") if example else "",
                base,
                limits,
            )

        return Task(_kept(name or cls.__name__.lower(), Path(place), make))

    return decorate


def _functions_of(cls: type) -> dict[str, Function]:
    """By name. Raises SettingsError for what is missing or unknown."""
    found: dict[str, Function] = {}
    for member, value in vars(cls).items():
        if member.startswith("__"):
            continue
        if member not in FUNCTIONS or not isinstance(value, staticmethod):
            raise SettingsError(
                f"{cls.__name__}.{member} is not a static function of a task",
                f"known: {', '.join(FUNCTIONS)}",
            )
        found[member] = value.__func__
    if missing := {"draw", "score"} - set(found):
        raise SettingsError(f"{cls.__name__} has no {min(missing)}", "a task needs draw and score")
    return found


def _metric(score: str | Function, file: Path) -> str:
    """A metric's name as `--metric` takes it."""
    if isinstance(score, str):
        return score
    text = module_source([score], "How an answer is compared with the right one.")
    if score.__name__ != "score":
        text += f"\n\ndef score(*_pair):\n    return {score.__name__}(*_pair)\n"
    file.write_text(text, encoding="utf-8")
    return f"python:{file}"


def _kept(name: str, place: Path, make: Callable[[Path], None]) -> Path:
    """The folder that `make` fills, named by what it holds; one that is there already is kept as it is."""
    if not NAME.fullmatch(name):
        raise SettingsError(f"not a name for a task: {name!r}", "lower-case letters, digits, - and _")
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix=".new-") as work:
        made = Path(work) / name
        make(made)
        kept = place.resolve() / f"{name}-{_digest(made)[:8]}"
        if not kept.exists():
            shutil.copytree(made, kept.with_name(f".{kept.name}"), dirs_exist_ok=True)
            kept.with_name(f".{kept.name}").rename(kept)
    return kept


def _digest(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()

"""`ratchet init --examples`: a task out of a file of rows with an input and a right answer, a metric, and the
task in words where they are given.

It asks no question: it prints which columns it took (rows_file.py guesses them), and splits the rows into
train, gate and test by their content, so that a row stays in its split when the file grows.
"""

from __future__ import annotations

import hashlib
import json
import re
import runpy
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ratchet.tasks.drafting.shapes import NAMES, shape_of
from ratchet.tasks.new_task import check_new, whole_folder
from ratchet.tasks.rows_file import FEWEST, Rows, read
from shared.config.settings import RunConfig
from shared.errors import SettingsError

TEMPLATE = Path(__file__).parent / "jsonl_template"
METRICS = ("exact", "contains", "f1", "numeric", "regex")
SHARES = (("test", 20), ("gate", 50))  # per cent, upper bounds; the rest is train
SHOWN = 5
WANTS = {
    "numeric": "it must be a number alone; --metric exact or contains compares texts",
    "regex": "it must be a regular expression; --metric contains looks for a text",
    "contains": "it compares words, and there is none; --metric exact compares all characters",
    "f1": "it compares words, and there is none; --metric exact compares all characters",
}
CHARS_A_TOKEN = 2.5  # low, so that no right answer is cut off


def create(
    folder: Path, file: Path, metric: str = "", describe: str = "", config: RunConfig | None = None
) -> list[str]:
    """Make the task; returns lines about what was taken and what to do next. `metric` empty: exact, or what
    suits the answers of a described task. `config`: its advisor drafts the first harness. Raises
    SettingsError."""
    check_new(folder)
    return create_of(folder, read(file), metric, describe, config)


def create_of(
    folder: Path, rows: Rows, metric: str = "", describe: str = "", config: RunConfig | None = None
) -> list[str]:
    """As create, of rows that were read already."""
    metric = metric or (shape_of([answer for _, answer in rows.pairs]).metric if describe else "exact")
    own = _own_metric(metric)
    if own is None and metric not in METRICS:
        raise SettingsError(f"unknown metric {metric!r}", f"{', '.join(METRICS)}, or python:FILE")
    splits = split(rows.pairs)
    _check_enough(rows.pairs, splits, rows.input_column)
    _check_answers(rows.pairs, metric)
    with whole_folder(folder, TEMPLATE) as made:
        _fill(made, rows, splits, "own" if own else metric)
        if own:
            text = _program(own)
            (made / "metrics.py").write_text(f'{text}\n\nMETRICS = {{"own": score}}\n', encoding="utf-8")
        drafted = _drafted(made, splits["train"], describe, config or RunConfig()) if describe else []
    counts = ", ".join(f"{len(found)} {name}" for name, found in splits.items())
    shown = [f"  {question[:60]!r} -> {answer[:40]!r}" for question, answer in rows.pairs[:SHOWN]]
    columns = f"input from {rows.input_column!r}, right answer from {rows.answer_column!r}"
    return [
        f"{folder}: {columns}; {counts} rows",
        *shown,
        *drafted,
        *(f"  note: {note}" for note in rows.notes),
        f"1. ratchet validate {folder}",
        f"2. ratchet run {folder}        (or --set model.url=URL for an endpoint of your own)",
    ]


def _drafted(made: Path, train: list[tuple[str, str]], describe: str, config: RunConfig) -> list[str]:
    from ratchet.tasks.drafting.drafting import by_shape, draft_harness  # openai

    shape = shape_of([answer for _, answer in train])
    by_shape(made / "harness", describe, shape)
    tried = draft_harness(made, describe, shape, train, config)
    return [f"answers: {NAMES[shape.kind]}; drafts of the first harness:", *tried]


def _check_enough(pairs: list[tuple[str, str]], splits: dict[str, Any], column: str) -> None:
    empty = [name for name, found in splits.items() if not found]
    if len(pairs) < FEWEST or empty:
        raise SettingsError(
            f"{column!r} holds {len(pairs)} different inputs"
            + (f", and none for {' and '.join(empty)}" if empty else ""),
            f"at least {FEWEST} are needed for three splits; give each row's whole question in one column",
        )


def _check_answers(pairs: list[tuple[str, str]], metric: str) -> None:
    """Raises SettingsError for a right answer that the metric can't give the highest score to."""
    scored = _metrics().get(metric)
    for question, right in pairs if scored else ():
        if not _comparable(metric, scored, right):
            raise SettingsError(
                f"metric {metric} can't compare with the right answer {right[:60]!r} of {question[:60]!r}",
                WANTS[metric],
            )


def _comparable(metric: str, scored: Callable[[str, str], float] | None, right: str) -> bool:
    try:
        if metric == "regex":
            return re.compile(right) is not None
        return scored is None or scored(right, right) == 1
    except (ValueError, re.error):
        return False


def split(pairs: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """By the digest of the input's letters and digits, so that other punctuation makes no other split: train
    about half, gate 30 %, test 20 %."""
    splits: dict[str, list[tuple[str, str]]] = {"train": [], "gate": [], "test": []}
    for question, answer in pairs:
        plain = re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", question).casefold()) or question
        percent = int(hashlib.sha256(plain.encode()).hexdigest()[:8], 16) % 100
        name = next((name for name, share in SHARES if percent < share), "train")
        splits[name].append((question, answer))
    return splits


def _metrics() -> dict[str, Callable[[str, str], float]]:
    """The template's own: a task keeps its copy."""
    found: dict[str, Callable[[str, str], float]] = runpy.run_path(str(TEMPLATE / "metrics.py"))["METRICS"]
    return found


def _own_metric(metric: str) -> Path | None:
    """The user's file, where the metric is python:FILE. Raises SettingsError where it has no score."""
    if not metric.startswith("python:"):
        return None
    file = Path(metric.removeprefix("python:"))
    if not file.is_file() or "def score(" not in _program(file):
        raise SettingsError(
            f"{file} has no score function", "write def score(answer: str, right: str) -> float"
        )
    return file


def _program(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not UTF-8", "convert it: iconv -f ENCODING -t UTF-8") from None


def _fill(folder: Path, rows: Rows, splits: dict[str, list[tuple[str, str]]], metric: str) -> None:
    longest = max(len(answer) for _, answer in rows.pairs)
    pairs = max(1, len(splits["gate"]) * 2 // 3)
    words = {
        "METRIC": metric,
        "NAME": folder.name,
        "TOKENS": str(min(1024, 16 + round(longest / CHARS_A_TOKEN))),
        "SCREEN": str(max(1, min(16, len(splits["gate"]) // 6))),
        "PAIRS": str(min(96, pairs)),
        "TESTS": str(min(400, max(1, len(splits["test"])))),
    }
    for name in ("task.toml", "verifier.py"):
        text = (folder / name).read_text(encoding="utf-8")
        for word, value in words.items():
            text = re.sub(rf"\b{word}\b", value, text)
        (folder / name).write_text(text, encoding="utf-8")
    for name, found in splits.items():
        _write(folder / "data" / f"{name}.jsonl", name, found)
    _write(folder / "public" / "rows.jsonl", "train", splits["train"])


def _write(path: Path, name: str, pairs: list[tuple[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": f"{name}-{number}", "input": question, "answer": answer}
        for number, (question, answer) in enumerate(pairs)
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")

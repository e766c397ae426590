"""`ratchet init --examples`: a task out of a file of rows with an input and a right answer, a metric, and the
task in words where they are given.

It asks no question: it guesses the two columns, prints which it took, and splits the rows into train, gate
and test by their content, so that a row stays in its split when the file grows.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratchet.tasks.drafting.shapes import NAMES, shape_of
from ratchet.tasks.new_task import check_new, whole_folder
from shared.config.settings import RunConfig
from shared.errors import SettingsError

TEMPLATE = Path(__file__).parent / "jsonl_template"
INPUTS = ("input", "question", "query", "prompt", "text", "instruction", "problem")
ANSWERS = ("answer", "label", "output", "target", "response", "completion", "solution")
METRICS = ("exact", "contains", "f1", "numeric", "regex")
SHARES = (("test", 20), ("gate", 50))  # per cent, upper bounds; the rest is train
FEWEST = 40  # rows that make three splits of some use
SHOWN = 5
CHARS_A_TOKEN = 2.5  # low, so that no right answer is cut off


@dataclass(frozen=True)
class Rows:
    """What was read: (input, answer) texts, and the columns that they came from."""

    pairs: list[tuple[str, str]]
    input_column: str
    answer_column: str
    repeated: int


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
    with whole_folder(folder, TEMPLATE) as made:
        _fill(made, rows, splits, "own" if own else metric)
        if own:
            text = own.read_text(encoding="utf-8-sig")
            (made / "metrics.py").write_text(f'{text}\n\nMETRICS = {{"own": score}}\n', encoding="utf-8")
        drafted = _drafted(made, splits["train"], describe, config or RunConfig()) if describe else []
    counts = ", ".join(f"{len(found)} {name}" for name, found in splits.items())
    shown = [f"  {question[:60]!r} -> {answer[:40]!r}" for question, answer in rows.pairs[:SHOWN]]
    columns = f"input from {rows.input_column!r}, right answer from {rows.answer_column!r}"
    return [
        f"{folder}: {columns}; {counts} rows",
        *shown,
        *drafted,
        *([f"  {rows.repeated} repeated inputs were left out"] if rows.repeated else []),
        f"1. ratchet validate {folder}",
        f"2. ratchet run {folder}        (or --set model.url=URL for an endpoint of your own)",
    ]


def _drafted(made: Path, train: list[tuple[str, str]], describe: str, config: RunConfig) -> list[str]:
    from ratchet.tasks.drafting.drafting import by_shape, draft_harness  # openai

    shape = shape_of([answer for _, answer in train])
    by_shape(made / "harness", describe, shape)
    tried = draft_harness(made, describe, shape, train, config)
    return [f"answers: {NAMES[shape.kind]}; drafts of the first harness:", *tried]


def read(file: Path) -> Rows:
    """Each input once. Raises SettingsError that names the line."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not UTF-8", "convert it: iconv -f ENCODING -t UTF-8") from None
    except OSError as error:
        raise SettingsError(f"can't read {file}: {error.strerror}", "UTF-8, a JSON object a line") from None
    objects = _objects(file, text)
    if len(objects) < FEWEST:
        raise SettingsError(
            f"{file} holds {len(objects)} rows", f"at least {FEWEST} are needed for three splits"
        )
    question, answer = _column(objects, INPUTS, "input"), _column(objects, ANSWERS, "answer")
    found: dict[str, str] = {}
    for number, row in enumerate(objects, 1):
        if row.get(question) is None or row.get(answer) is None:
            raise SettingsError(f"{file}, row {number} has no {question!r} or no {answer!r}")
        texts = (_text(row[name], f"{file}, row {number}: {name!r}") for name in (question, answer))
        found.setdefault(next(texts), next(texts))
    return Rows(list(found.items()), question, answer, len(objects) - len(found))


def split(pairs: list[tuple[str, str]]) -> dict[str, list[tuple[str, str]]]:
    """By the digest of the input: train about half, gate 30 %, test 20 %."""
    splits: dict[str, list[tuple[str, str]]] = {"train": [], "gate": [], "test": []}
    for question, answer in pairs:
        plain = " ".join(question.casefold().split())
        percent = int(hashlib.sha256(plain.encode()).hexdigest()[:8], 16) % 100
        name = next((name for name, share in SHARES if percent < share), "train")
        splits[name].append((question, answer))
    return splits


def _objects(file: Path, text: str) -> list[dict[str, Any]]:
    """Of lines, or of one list."""
    if text.lstrip().startswith("["):
        rows = _json(text, str(file))
        named = [(f"{file}, row {number}", row) for number, row in enumerate(rows, 1)]
    else:
        lines = enumerate(text.split("\n"), 1)  # splitlines splits at U+2028, too
        places = [(f"{file}, line {number}", line) for number, line in lines if line.strip()]
        named = [(where, _json(line, where)) for where, line in places]
    for where, row in named:
        if not isinstance(row, dict):
            raise SettingsError(f"{where} is not a JSON object", 'a line is {"input": ..., "answer": ...}')
    return [row for _, row in named]


def _json(text: str, where: str) -> Any:
    try:
        found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise SettingsError(f"{where} holds half of a surrogate pair, which is no character") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{where} is not JSON: {getattr(error, 'msg', type(error).__name__)}") from None
    return found


def _text(value: Any, where: str) -> str:
    """A text as it is, numbers and truth as JSON spells them."""
    if isinstance(value, dict | list):
        raise SettingsError(f"{where} is not text", "give the text alone: a prompt, an answer")
    return (value if isinstance(value, str) else json.dumps(value)).strip()


def _column(objects: list[dict[str, Any]], known: tuple[str, ...], what: str) -> str:
    names = {name.casefold(): name for name in objects[0]}
    for name in known:
        if name in names:
            return names[name]
    raise SettingsError(
        f"no column of the rows looks like the {what}: {', '.join(objects[0])}",
        f"rename it to one of {', '.join(known)}",
    )


def _own_metric(metric: str) -> Path | None:
    """The user's file, where the metric is python:FILE. Raises SettingsError where it has no score."""
    if not metric.startswith("python:"):
        return None
    file = Path(metric.removeprefix("python:"))
    if not file.is_file() or "def score(" not in file.read_text(encoding="utf-8", errors="replace"):
        raise SettingsError(
            f"{file} has no score function", "write def score(answer: str, right: str) -> float"
        )
    return file


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

"""`ratchet init NAME --from-sia DIR`: a task out of a SIA task folder whose answers are a table: each row of
data/public with its answer in data/private, under the same id. Its description becomes the prompt.

evaluate.py is not run: it scores one submission of a whole program, and a release is scored answer by answer.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratchet.tasks.from_jsonl import create_of
from ratchet.tasks.new_task import check_new
from ratchet.tasks.rows_file import ANSWERS, FEWEST, Rows
from shared.errors import SettingsError

GOLD = ("correct_answer_letter", "correct_answer", "ground_truth", "gold", "class", *ANSWERS)
TABLES = (".csv", ".tsv")
MOST_CHARS = 1 << 24  # of a field of a table
PANDAS_INDEX = "Unnamed: "
NO_QUESTION = re.compile(r"(?i:(.*[\W_])?([a-z]?id|idx|index|key))|.*[a-z](Id|ID)")  # but a name of its row
CHARS = 4000  # of the description that the prompt takes
Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """`name`: of the file, from the task's folder."""

    name: str
    rows: list[Row]

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def values(self, column: str) -> list[str]:
        return [_spelt(row.get(column)) for row in self.rows]

    def is_key(self, column: str) -> bool:
        return len(set(self.values(column))) == len(self.rows) and all(self.values(column))


def create(folder: Path, source: Path, metric: str = "") -> list[str]:
    """Make the task; returns lines about what was taken. Raises SettingsError where the folder is of another
    kind, and says which."""
    check_new(folder)
    description = _description(source)
    public, private = (_tables(source, side) for side in ("public", "private"))
    if not private:
        raise SettingsError(
            f"{source}/data/private holds no table", "CSV, JSON or JSON lines with right answers"
        )
    found = [joined for gold in private for asked in public if (joined := _join(asked, gold)) is not None]
    if not found:
        _check_ids(public, private)
        found = [whole for gold in private if (whole := _whole(gold)) is not None]
    if not found:
        raise SettingsError(
            f"no table of {source}/data/public has its answers in data/private, by a common id",
            "a task whose program is scored as a whole can't be imported; write its verifier (docs/tasks.md)",
        )
    # the most questions, not the most rows: a sample submission asks nothing
    asked, gold, key, answer = max(found, key=lambda one: len(_pairs(*one)))
    pairs = _pairs(asked, gold, key, answer)
    others = sorted({other.name for _, other, _, _ in found} - {gold.name})
    notes = [f"{name}: left out: {gold.name} answers as many questions, or more" for name in others]
    notes += _left_out(asked, gold, key, answer, pairs) + _train_rows(public, asked, key, answer, pairs)
    if asked is gold:
        shown = [name for name in gold.columns if name not in (key, answer)]
        notes.append(f"the input holds {', '.join(shown)}: none of them may tell the answer")
    if len(pairs) < FEWEST:
        raise SettingsError(
            f"{source} has {len(pairs)} rows with an answer", f"at least {FEWEST} are needed for three splits"
        )
    rows = Rows(list(pairs.items()), asked.name, f"{gold.name}: {answer}", tuple(notes))
    return create_of(folder, rows, metric, description)


def _train_rows(
    public: Sequence[Table], asked: Table, key: str, answer: str, pairs: dict[str, str]
) -> list[str]:
    """Labelled train tables join the pairs, by the columns of the questions. Returns what was left out. What
    is said of a question itself does not count: a sample submission has labels that mean nothing."""
    notes, fields = [], [name for name in asked.columns if name not in (key, answer)]
    questions = {_text(row, (key, answer)) for row in asked.rows}
    for more in public:
        if more is asked or answer not in more.columns:
            continue
        if lacking := [name for name in fields if name not in more.columns]:
            notes.append(f"{more.name}: left out, as no train table: it has no {', '.join(lacking)}")
            continue
        rows = [{name: row.get(name) for name in (*fields, answer)} for row in more.rows]
        table = Table(more.name, rows)
        found = _pairs(table, table, "", answer)
        pairs |= {text: right for text, right in found.items() if text not in questions}
    return notes


def _left_out(asked: Table, gold: Table, key: str, answer: str, pairs: dict[str, str]) -> list[str]:
    """What is to be said of rows that gave no pair of their own."""
    empty = sum(not text.strip() for text in gold.values(answer))
    right = _answers(asked, gold, key, answer)
    rows = [(_text(row, (key, answer)), text.strip()) for row, text in zip(asked.rows, right, strict=True)]
    found = [(question, text) for question, text in rows if text]
    other = sum(pairs[question] != text for question, text in found)
    counts = (
        (empty, f"rows of {gold.name} have no answer and were left out"),
        (len(found) - len(pairs), f"rows of {asked.name} ask what an earlier one asks and were left out"),
        (other, "of them have another answer than the first, which was taken"),
    )
    return [f"{count} {text}" for count, text in counts if count]


def _spelt(value: Any) -> str:
    """A text as it is, other values as JSON spells them; "" for none, NaN among them."""
    if value is None or value != value:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _description(source: Path) -> str:
    path = source / "data" / "public" / "task.md"
    try:
        return path.read_text(encoding="utf-8-sig").strip()[:CHARS]
    except (OSError, UnicodeDecodeError):
        raise SettingsError(
            f"can't read {path}", "a SIA task has data/public/task.md and data/private"
        ) from None


def _tables(source: Path, side: str) -> list[Table]:
    folder, found = source / "data" / side, []
    for path in sorted(folder.rglob("*")):
        rows = _rows(path) if path.suffix.lower() in (*TABLES, ".json", ".jsonl") else []
        if rows:
            found.append(Table(path.relative_to(source / "data").as_posix(), rows))
    return found


def _rows(path: Path) -> list[Row]:
    """Of a list of objects, of lines of them, of an object with ids as its names, or of a table with a
    header; none: the file is something else."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() in TABLES:
            return _of_table(path, text)
        if path.suffix.lower() == ".jsonl":  # splitlines splits at U+2028, too
            found = [json.loads(line) for line in text.split("\n") if line.strip()]
        else:
            found = json.loads(text)
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise SettingsError(f"{path} holds half of a surrogate pair, which is no character") from None
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        raise SettingsError(f"can't read {path}: {error}", "UTF-8, CSV or JSON") from None
    listed = found if isinstance(found, list) else _by_id(found) if isinstance(found, dict) else []
    return listed if all(isinstance(row, dict) for row in listed) else []


def _by_id(found: Row) -> list[Row]:
    """{id: row} or {id: answer} as rows; a list of rows under one name as it is."""
    values = list(found.values())
    if len(values) == 1 and isinstance(values[0], list):
        return values[0]
    if all(isinstance(value, dict) for value in values):
        return [{"id": name, **value} for name, value in found.items()]
    if any(isinstance(value, dict | list) for value in values):
        return []
    return [{"id": name, "answer": value} for name, value in found.items()]


def _of_table(path: Path, text: str) -> list[Row]:
    """Without columns of no name, which pandas writes for its index. Raises SettingsError for what would put
    values under other names; csv.Error."""
    csv.field_size_limit(MOST_CHARS)
    head = text.split("\n", 1)[0]
    table = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count), strict=True)
    table.fieldnames = names = [name.strip() for name in table.fieldnames or ()]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise SettingsError(f"{path}: two columns are called {twice[0]!r}", "rename or drop one")
    rows: list[Row] = []
    for row in table:
        if None in row:
            raise SettingsError(
                f"{path}, line {table.line_num}: more values than columns", "quote texts that hold commas"
            )
        rows.append({name: row[name] for name in names if name and not name.startswith(PANDAS_INDEX)})
    return rows


def _join(asked: Table, gold: Table) -> tuple[Table, Table, str, str] | None:
    """(public, private, id, answer), where each private row's id is a public row's."""
    keys = [name for name in gold.columns if name in asked.columns]
    keys = [name for name in keys if asked.is_key(name) and gold.is_key(name)]
    key = next((name for name in keys if set(gold.values(name)) <= set(asked.values(name))), None)
    hidden = [name for name in gold.columns if name not in asked.columns]
    if key is None or not hidden:
        return None
    known = {name.casefold(): name for name in hidden}
    answer = next((known[name] for name in GOLD if name in known), hidden[0] if len(hidden) == 1 else None)
    if answer is None:
        raise SettingsError(
            f"several columns of {gold.name} may be the answer: {', '.join(hidden)}",
            f"rename it to one of {', '.join(ANSWERS)}",
        )
    return asked, gold, key, answer


def _check_ids(public: Sequence[Table], private: Sequence[Table]) -> None:
    """Raises SettingsError where one wrong id, twice or strange, keeps a private table from its questions."""
    for gold, asked in ((gold, asked) for gold in private for asked in public):
        for name in (name for name in gold.columns if name in asked.columns and asked.is_key(name)):
            ids, known = [value for value in gold.values(name) if value], set(asked.values(name))
            twice = next((value for value, count in Counter(ids).items() if count > 1), None)
            if twice is not None and set(ids) <= known:
                raise SettingsError(
                    f"{gold.name}: {name} {twice!r} occurs twice", "give every question one answer"
                )
            strange = next((value for value in ids if value not in known), None)
            if strange is not None and 2 * len(set(ids) & known) > len(ids):
                raise SettingsError(
                    f"{gold.name}: {name} {strange!r} does not stand in {asked.name}",
                    "give every answer its question, or drop it",
                )


def _whole(gold: Table) -> tuple[Table, Table, str, str] | None:
    """A private table that holds its questions too, with a column that is called an answer."""
    known = {name.casefold(): name for name in gold.columns}
    answer = next((known[name] for name in GOLD if name in known), None)
    key = next((name for name in gold.columns if name.casefold() == "id" and gold.is_key(name)), "")
    others = [name for name in gold.columns if name != answer and not NO_QUESTION.fullmatch(name)]
    return (gold, gold, key, answer) if answer and others else None


def _pairs(asked: Table, gold: Table, key: str, answer: str) -> dict[str, str]:
    """Inputs with their answers; of rows that look alike, the first."""
    if strange := next((row[answer] for row in gold.rows if isinstance(row.get(answer), list | dict)), None):
        raise SettingsError(
            f"{gold.name}: an answer is not text: {_spelt(strange)[:60]}", "give the text alone"
        )
    found: dict[str, str] = {}
    for row, text in zip(asked.rows, _answers(asked, gold, key, answer), strict=True):
        if text.strip():
            found.setdefault(_text(row, (key, answer)), text.strip())
    return found


def _answers(asked: Table, gold: Table, key: str, answer: str) -> list[str]:
    """One a question; "" for none."""
    if asked is gold:
        return gold.values(answer)
    by_id = dict(zip(gold.values(key), gold.values(answer), strict=True))
    return [by_id.get(name, "") for name in asked.values(key)]


def _text(row: Row, without: Sequence[str]) -> str:
    """A row as the model reads it: its one field, or a line a field."""
    fields = {name: value for name, value in row.items() if name not in without and value not in (None, "")}
    shown = {name: _spelt(value) for name, value in fields.items()}
    return next(iter(shown.values())) if len(shown) == 1 else "\n".join(f"{k}: {v}" for k, v in shown.items())

"""Reads cases in the three forms that people have: this project's JSON lines, LawBench's own 3-3 file, SIA's
task folder. It checks form, line by line; what the cases are good for is splitting.py's question.

A fault of form (not JSON, a field missing, not text) raises DataError that names file and line: it means that
the file is not what its owner thinks.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from charges import FRAME, SEPARATORS, default_labels, normal

Case = dict[str, Any]  # {"id", "fact", "charges"}
ENCODINGS = ("utf-8-sig", "gb18030")  # the second takes nearly anything, so it comes last
QUESTION = re.compile(r"^\s*(事实\s*[:：])?\s*")
SHOWN = 5  # faults that a message names


class DataError(Exception):
    """What is wrong, where, and how to mend it."""


def read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror}") from None
    for encoding in ENCODINGS:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise DataError(f"{path} is neither UTF-8 nor GB18030; convert it: iconv -f ENCODING -t UTF-8")


def read_cases(path: Path) -> list[Case]:
    """A file's cases, by its ending: .jsonl, .json (LawBench 3-3) or .csv (SIA). An id each, unique."""
    readers = {".jsonl": _json_lines, ".json": _official, ".csv": _sia_rows}
    if path.suffix not in readers:
        raise DataError(f"{path}: not a kind of file that holds cases; known: {', '.join(readers)}")
    cases = list(readers[path.suffix](path, read_text(path)))
    if not cases:
        raise DataError(f"{path} holds no case")
    seen: set[str] = set()
    for case in cases:
        if case["id"] in seen:
            raise DataError(f"{path}: the id {case['id']!r} occurs twice; every case needs its own")
        seen.add(case["id"])
    return cases


def _json_lines(path: Path, text: str) -> Iterator[Case]:
    faults = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            faults.append(f"line {number} is not JSON")
            continue
        fault = _fault(row)
        if fault:
            faults.append(f"line {number}: {fault}")
        else:
            name = str(row.get("id", f"{path.stem}-{number}"))
            yield {"id": name, "fact": row["fact"], "charges": [plain_name(name) for name in row["charges"]]}
    if faults:
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise DataError(
            f'{path}: {"; ".join(faults[:SHOWN])}{more}; a line is {{"id", "fact": text, "charges": [names]}}'
        )


def _fault(row: object) -> str:
    if not isinstance(row, dict):
        return "not a JSON object"
    if not isinstance(row.get("fact"), str):
        return 'no text in "fact"'
    charges = row.get("charges")
    if not isinstance(charges, list) or not all(isinstance(name, str) for name in charges):
        return '"charges" is not a list of names'
    return ""


def _official(path: Path, text: str) -> Iterator[Case]:
    """LawBench's data/zero_shot/3-3.json: a list of {"instruction", "question", "answer"}."""
    try:
        rows = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    if not isinstance(rows, list):
        raise DataError(f"{path}: LawBench's file is a list of questions with answers")
    for number, row in enumerate(rows):
        if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in ("question", "answer")):
            raise DataError(f'{path}: entry {number} has no "question" and "answer"; is it LawBench\'s 3-3?')
        names = SEPARATORS.split(FRAME.sub("", row["answer"]))
        charges = [plain_name(name) for name in names if name.strip()]
        yield {"id": f"{path.stem}-{number:04d}", "fact": QUESTION.sub("", row["question"]), "charges": charges}


def _sia_rows(path: Path, text: str) -> Iterator[Case]:
    """SIA's train.csv: id, text, label."""
    csv.field_size_limit(1 << 24)
    table = csv.DictReader(io.StringIO(text))
    if not {"id", "text", "label"} <= set(table.fieldnames or ()):
        raise DataError(f"{path}: columns are {table.fieldnames}; SIA's are id, text, label")
    for row in table:
        if row["text"] is None or row["label"] is None:
            raise DataError(f"{path}, line {table.line_num}: a row with too few columns")
        charges = [plain_name(row["label"])] if row["label"].strip() else []
        yield {"id": f"{path.stem}-{row['id']}", "fact": row["text"], "charges": charges}


def read_folder(folder: Path) -> tuple[dict[str, list[Case]], list[str]]:
    """The cases of a folder by role (train, test, and other held-out files by name), and the list of charges."""
    if (folder / "data" / "public" / "train.csv").exists():
        return _sia_folder(folder)
    files = {path.stem: path for path in sorted(folder.glob("*.jsonl"))}
    if "train" not in files:
        raise DataError(f"{folder}: no train.jsonl, and no data/public/train.csv as SIA has it")
    held_out = "test" if "test" in files else "dev"
    roles = {("test" if name == held_out else name): read_cases(path) for name, path in files.items()}
    return roles, _labels(folder / "labels.json")


def _sia_folder(folder: Path) -> tuple[dict[str, list[Case]], list[str]]:
    """data/public/{train.csv, test.csv, classes.json} and data/private/test.csv, which has the labels."""
    public, private = folder / "data" / "public", folder / "data" / "private" / "test.csv"
    roles = {"train": read_cases(public / "train.csv")}
    if private.exists():
        roles["test"] = read_cases(_joined(public / "test.csv", private))
    return roles, _labels(public / "classes.json")


def _joined(questions: Path, answers: Path) -> Path:
    """The private file itself where it has the texts, else a joined one."""
    table = list(csv.DictReader(io.StringIO(read_text(answers))))
    if table and "text" in table[0]:
        return answers
    raise DataError(f"{answers} has no column text; join it with {questions} by id first")


def _labels(path: Path) -> list[str]:
    """The charges that may be answered: a list, or an object with labels_191; the usual 191 if there is none."""
    if not path.exists():
        return default_labels()
    try:
        found = json.loads(read_text(path))
        names = found["labels_191"] if isinstance(found, dict) else found
        labels = sorted({plain_name(name) for name in names})
    except (ValueError, KeyError, TypeError):
        raise DataError(f'{path} must be a JSON list of charges, or an object with "labels_191"') from None
    if len(labels) < 2:
        raise DataError(f"{path} lists {len(labels)} charges")
    return labels


def plain_name(name: str) -> str:
    """A charge as this task writes it everywhere."""
    return normal(name)

"""One row of a file as a case, whatever form it has: this project's, CAIL2018's, LawBench's 3-3, SIA's table.
Raises RowError for a fault of form: the file is not what its owner thinks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from charges import FRAME, default_labels, normal

Case = dict[str, Any]  # {"id", "fact", "charges"}
Row = dict[str, Any]  # as the file has it
QUESTION = re.compile(r"^\s*(事实\s*[:：])?\s*")
ARTICLE = re.compile(r"^\s*(\[?法条\]?|刑法第|依据.*第.*条)|第\s*[\d〇零一二三四五六七八九十百千]+\s*条")
SENTENCE = re.compile(r"^\s*(\[?刑期\]?|有期徒刑|\d+\s*个?月)")
EDGES = " \t\r\n。．.,，、;；:：!！\"'“”‘’"
SPLITS = (r"[;；\n|/]", r"[,，]", r"\s+", r"、")  # in this order: names of charges hold 、 themselves
OWN_FORM = 'a line is {"id", "fact": text, "charges": [names]}'
FACTS = ("fact", "text")  # what a file may call them
CHARGES = ("charges", "accusation", "label")
TRADITIONAL = set(
    "盜竊詐騙傷貪賄賂槍製運輸販賣國機關證據強姦綁搶奪務職財產權毀壞擾亂違駕險傳開設賭場銷贓隱瞞訴訟罰僞偽"
)


class RowError(Exception):
    """What is wrong with the row."""


def case_of(row: object, name: str, labels: Sequence[str] = ()) -> Case:
    """A JSON object, or a row of a table, as a case; `name` is its id where it has none. `labels`: charges of
    the user's own list. Raises RowError."""
    if not isinstance(row, dict):
        raise RowError("not a JSON object")
    if isinstance(row.get("meta"), dict) and "accusation" in row["meta"]:
        return _whole({"id": name, "fact": row.get("fact"), "charges": row["meta"]["accusation"]}, labels)
    if "question" in row or "answer" in row:
        return _whole(_lawbench(row, name), labels)
    fact, charges = (_first(row, names) for names in (FACTS, CHARGES))
    if fact is None and charges is None:
        raise RowError('no text in "fact", and neither the form of CAIL nor of LawBench\'s 3-3')
    own = row.get("id")
    return _whole({"id": name if own in (None, "") else str(own), "fact": fact, "charges": charges}, labels)


def _first(row: Row, names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _lawbench(row: Row, name: str) -> Case:
    question, answer = row.get("question"), row.get("answer")
    if not isinstance(question, str) or not isinstance(answer, str):
        raise RowError('no "question" and "answer"; is it LawBench\'s 3-3?')
    if ARTICLE.search(answer):
        raise RowError(
            f"its answer names articles of law ({answer[:30]!r}): LawBench's 3-1 or 3-2; charges are 3-3"
        )
    if SENTENCE.search(answer):
        raise RowError(f"its answer is a sentence ({answer[:30]!r}: LawBench's 3-4); charges are 3-3")
    return {"id": name, "fact": QUESTION.sub("", question), "charges": FRAME.sub("", answer)}


def _whole(case: Case, labels: Sequence[str]) -> Case:
    """With charges in normal form. Raises RowError."""
    if not isinstance(case["fact"], str):
        raise RowError('no text in "fact"')
    charges = case["charges"]
    if isinstance(charges, str):
        charges = [charges]
    if not isinstance(charges, list) or not all(isinstance(name, str) for name in charges):
        raise RowError('"charges" is not a list of names')
    for place, text in (("id", case["id"]), ("fact", case["fact"]), *(("charges", name) for name in charges)):
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise RowError(f'half of a surrogate pair in "{place}", which is no character')
    found = [plain_name(part) for name in charges for part in names_in(name, labels)]
    return case | {"charges": list(dict.fromkeys(name for name in found if name))}


def names_in(text: str, labels: Sequence[str] = ()) -> list[str]:
    """The charges that one text names: the whole where it is one, else its parts by the first separator of
    which all parts are charges, else by semicolons; or a list as JSON or Python writes it."""
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        try:
            listed = json.loads(text.replace("'", '"'))
        except ValueError:
            listed = None
        if isinstance(listed, list) and all(isinstance(name, str) for name in listed):
            return listed
    known = {*default_labels(), *labels}
    if plain_name(text) in known:
        return [text]
    for separator in SPLITS:
        parts = [part for part in re.split(separator, text) if part.strip(EDGES)]
        if len(parts) > 1 and all(plain_name(part) in known for part in parts):
            return parts
    return [part for part in re.split(SPLITS[0], text) if part.strip(EDGES)]


def plain_name(name: str) -> str:
    """A charge as this task writes it everywhere."""
    return normal(name.strip(EDGES)).strip(EDGES)


def looks_traditional(name: str) -> bool:
    return bool(TRADITIONAL & set(name))

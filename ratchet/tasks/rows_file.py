"""Reads a file of rows with an input and a right answer each: JSON lines, or one JSON list. It guesses the
two columns; what it left out are its notes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ratchet.tasks.row_forms import plain_rows
from shared.errors import SettingsError

INPUTS = ("input", "question", "query", "prompt", "text", "instruction", "problem")
ANSWERS = ("answer", "label", "output", "target", "response", "completion", "solution")
FEWEST = 40  # rows that make three splits of some use
MOST_NAMED = 8  # columns
ROW = 'a line is {"input": ..., "answer": ...}'
TEXTS = (".csv", ".tsv", ".txt")
READERS = {".xlsx": "excel", ".xls": "excel", ".ods": "excel", ".parquet": "parquet", ".feather": "feather"}


@dataclass(frozen=True)
class Rows:
    """What was read: (input, answer) texts, and the columns that they came from."""

    pairs: list[tuple[str, str]]
    input_column: str
    answer_column: str
    notes: tuple[str, ...] = ()  # what was left out


def read(file: Path) -> Rows:
    """Each input once. Raises SettingsError that names the line."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not UTF-8", _hint_of_bytes(file)) from None
    except OSError as error:
        raise SettingsError(f"can't read {file}: {error.strerror}", "UTF-8, a JSON object a line") from None
    objects = _objects(file, text)
    if len(objects) < FEWEST:
        listed = [f"its {name!r} is a list: give that alone" for row in objects for name in _lists(row)]
        few = f"at least {FEWEST} are needed for three splits"
        raise SettingsError(f"{file} holds {len(objects)} rows", "; ".join([few, *listed[:1]]))
    objects, made = plain_rows(objects, str(file))
    question, answer = _column(objects, INPUTS, "input"), _column(objects, ANSWERS, "answer")
    found: dict[str, str] = {}
    contradicted = 0
    for number, row in enumerate(objects, 1):
        where = f"{file}, row {number}"
        asked, right = (_text(row.get(name), f"{where}: {name!r}") for name in (question, answer))
        contradicted += found.setdefault(asked, right) != right
    unused = list(dict.fromkeys(name for row in objects for name in row if name not in (question, answer)))
    notes = made + _notes(len(objects) - len(found), contradicted, unused)
    return Rows(list(found.items()), question, answer, notes)


def _lists(row: dict[str, Any]) -> list[str]:
    return [name for name, value in row.items() if isinstance(value, list) and len(value) >= FEWEST]


def _notes(repeated: int, contradicted: int, unused: list[str]) -> tuple[str, ...]:
    found = []
    if repeated:
        found.append(f"{repeated} repeated inputs were left out")
    if contradicted:
        found.append(f"{contradicted} of them have another answer than the first, which was taken")
    if unused:
        found.append(
            f"not used: {', '.join(unused[:MOST_NAMED])}; what the model needs of them belongs into the input"
        )
    return tuple(found)


def _objects(file: Path, text: str) -> list[dict[str, Any]]:
    """Of lines, or of one list."""
    if text.lstrip().startswith("["):
        rows = _json(text, str(file), _hint(file))
        named = [(f"{file}, row {number}", row) for number, row in enumerate(rows, 1)]
    else:
        _check_lines(file, text)
        lines = enumerate(text.split("\n"), 1)  # splitlines splits at U+2028, too
        places = [(f"{file}, line {number}", line) for number, line in lines if line.strip()]
        named = [(where, _json(line, where, _hint(file))) for where, line in places]
    for where, row in named:
        if not isinstance(row, dict):
            raise SettingsError(f"{where} is not a JSON object", _hint(file))
    return [row for _, row in named]


def _check_lines(file: Path, text: str) -> None:
    """Raises SettingsError for a file that is one object of many lines, which holds the rows perhaps."""
    if not text.lstrip().startswith("{") or "\n" not in text.strip():
        return
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):  # lines of objects
        return
    listed = [f"its {name!r} is a list: give that alone" for name in _lists(whole)]
    raise SettingsError(f"{file} is one JSON object", "; ".join(listed[:1]) or _hint(file))


def _hint_of_bytes(file: Path) -> str:
    if file.suffix.lower() in READERS:
        return _hint(file)
    with file.open("rb") as opened:
        packed = opened.read(2) in (b"\x1f\x8b", b"PK")
    return "it is packed: unpack it" if packed else "convert it: iconv -f ENCODING -t UTF-8"


def _hint(file: Path) -> str:
    kind = file.suffix.lower()
    if kind not in (*TEXTS, *READERS):
        return f"{ROW}; or the whole file is one list of these"
    reader = READERS.get(kind, "csv")
    tabs = ", sep='\\t'" if kind == ".tsv" else ""
    return (
        f"{ROW}. A table becomes that by pandas: pandas.read_{reader}('{file.name}'{tabs})"
        f".to_json('{file.stem}.jsonl', orient='records', lines=True, force_ascii=False)"
    )


def _json(text: str, where: str, hint: str) -> Any:
    try:
        found = json.loads(text, object_pairs_hook=_each_once)
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise SettingsError(f"{where} holds half of a surrogate pair, which is no character") from None
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", type(error).__name__)
        raise SettingsError(f"{where} is not JSON: {reason}", hint) from None
    return found


class TwiceError(ValueError):
    """`msg`, as json's own errors have it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.msg = f"{name!r} stands twice in one object"


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """json takes the last of two values of one name, silently. Raises TwiceError."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise TwiceError(name)
        found[name] = value
    return found


def _text(value: Any, where: str) -> str:
    """A text as it is, numbers and truth as JSON spells them. Raises SettingsError for what is none, or
    empty."""
    if value is None or value != value or (isinstance(value, str) and not value.strip()):
        raise SettingsError(f"{where} is missing or empty", "drop the row, or fill it in")
    if isinstance(value, dict | list):
        raise SettingsError(f"{where} is not text", "give the text alone: a prompt, an answer")
    return (value if isinstance(value, str) else json.dumps(value)).strip()


def _column(objects: list[dict[str, Any]], known: tuple[str, ...], what: str) -> str:
    """The first of the known names whose column holds something."""
    names: dict[str, str] = {
        name.strip().casefold(): name for row in reversed(objects) for name in reversed(row)
    }
    for name in known:
        if name in names and any(row.get(names[name]) not in (None, "") for row in objects):
            return names[name]
    raise SettingsError(
        f"no column of the rows looks like the {what}: {', '.join(reversed(names.values()))}",
        f"rename it to one of {', '.join(known)}",
    )

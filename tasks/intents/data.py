"""Binds your queries to a copy of this task: `data.py import FILE INTO`, `data.py instances FILE INTO`.

FILE holds JSON lines {"id", "text", "label"}. INTO gets data/ (labels: the verifier's alone) and public/ (the
list of labels, and the labelled train queries, which scaffolds may read). stdin: a JSON object with the run's
[data] settings, and how many gate and test queries it can use. A mistake: exit code 2, message on stderr.
"""

from __future__ import annotations

import json
import random
import re
import sys
import unicodedata
from collections import defaultdict
from pathlib import Path
from typing import Any

SEED = 0
GATE_SHARE, TEST_SHARE = 3, 5  # at most one in so many of a label's queries
FORM = (
    'a line is {"text": ..., "label": ...}; of a table or a list: pandas.read_csv(FILE), or read_json(FILE), '
    "then .to_json('queries.jsonl', orient='records', lines=True, force_ascii=False)"
)
KINDS = {  # by the first bytes of a file that is no text
    b"\x1f\x8b": "it is packed: unpack it",
    b"PK": f"a workbook, or packed; {FORM}".replace("read_csv", "read_excel"),
    b"PAR1": FORM.replace("read_csv", "read_parquet"),
}
DEFAULTS = {"per_label": 10, "gate": 384, "test": 400}

Case = dict[str, Any]


class DataError(Exception):
    """A mistake in the user's file; the text states where and what."""


def main(arguments: list[str]) -> int:
    operation, source, into = arguments[0], Path(arguments[1]), Path(arguments[2])
    try:
        cases = read_cases(source)
        if operation == "import":
            print(json.dumps(import_cases(cases, into, DEFAULTS | json.loads(sys.stdin.read() or "{}"))))
        else:
            check_labels(source, cases, into)
            write_lines(into / "data" / "eval.jsonl", cases)
            for case in cases:
                print(json.dumps({"id": case["id"], "text": case["text"]}))
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def check_labels(source: Path, cases: list[Case], into: Path) -> None:
    """Says which labels nobody can answer; DataError where all are such: the file is of another task."""
    known = set(json.loads((into / "public" / "labels.json").read_text(encoding="utf-8")))
    strange = sorted({case["label"] for case in cases} - known)
    said = (
        f"{source}: {len(strange)} labels are not in the list and can't be answered: {', '.join(strange[:5])}"
    )
    if strange and not known & {case["label"] for case in cases}:
        raise DataError(f"{said}; no query has one of its {len(known)} ({', '.join(sorted(known)[:3])}, ...)")
    if strange:
        print(said, file=sys.stderr)


def read_cases(path: Path) -> list[Case]:
    if path.is_dir():
        raise DataError(f"{path} is a folder: give a file of JSON lines")
    cases, seen = [], set()
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # splitlines splits at U+2028, too
    except UnicodeDecodeError:
        raise DataError(f"{path} is not UTF-8; {_hint_of_bytes(path)}") from None
    except OSError as error:
        raise DataError(f"can't read {path}: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            case = read_line(line, f"{path}, line {number}")
            if case["id"] in seen:
                raise DataError(f'{path}, line {number}: the id "{case["id"]}" occurs twice')
            seen.add(case["id"])
            cases.append(case)
    if not cases:
        raise DataError(f"{path} holds no query")
    return cases


def _hint_of_bytes(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4)
    kind = next((hint for magic, hint in KINDS.items() if head.startswith(magic)), "")
    return kind or "convert it: iconv -f ENCODING -t UTF-8"


def read_line(line: str, where: str) -> Case:
    try:
        row = json.loads(line)
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise DataError(f"{where} holds half of a surrogate pair, which is no character") from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{where} is not JSON: {getattr(error, 'msg', type(error).__name__)}; {FORM}"
        ) from None
    if not isinstance(row, dict):
        raise DataError(f"{where} is not a JSON object; {FORM}")
    for name in ("text", "label"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise DataError(f'{where}: no text in "{name}"; {FORM}')
    own = row.get("id")
    return {
        "id": where if own in (None, "") else str(own),
        "text": row["text"].strip(),
        "label": row["label"].strip(),
    }


def import_cases(cases: list[Case], into: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """Gate and test take as many of each label, then train. The same query twice is taken once: otherwise one
    copy could be shown as a labelled case of the other."""
    per_label = wanted["per_label"]
    if not isinstance(per_label, int) or isinstance(per_label, bool) or per_label < 1:
        raise DataError(f"data.per_label is a whole number of at least 1, not {per_label!r}")
    groups: defaultdict[str, list[Case]] = defaultdict(list)
    texts: dict[str, str] = {}  # with the label that is taken
    contradicted = []
    for case in random.Random(SEED).sample(cases, len(cases)):
        if letters(case["text"]) not in texts:
            groups[case["label"]].append(case)
        if texts.setdefault(letters(case["text"]), case["label"]) != case["label"]:
            contradicted.append(case["id"])
    if len(groups) < 2:
        raise DataError("all queries have the same label: there is nothing to choose")
    splits: dict[str, list[Case]] = {"test": [], "gate": [], "train": []}
    for group in groups.values():
        size = len(group)
        for split, share in (("test", TEST_SHARE), ("gate", GATE_SHARE)):
            count = min(-(-wanted[split] // len(groups)), size // share)
            splits[split] += [group.pop() for _ in range(count)]
        splits["train"] += group[:per_label]
    for split, chosen in splits.items():
        if not chosen:
            raise DataError(f"no query is left for the {split} split: five or more of a label are needed")
        write_lines(into / "data" / f"{split}.jsonl", chosen)
    write_lines(into / "public" / "cases.jsonl", splits["train"])
    (into / "public" / "labels.json").write_text(
        json.dumps(sorted(groups), indent=0, ensure_ascii=False), encoding="utf-8"
    )
    counts = {split: len(chosen) for split, chosen in splits.items()}
    other = f"{len(contradicted)} repeated queries have another label than the one that was taken: "
    warnings = [other + ", ".join(contradicted[:5])] if contradicted else []
    return {
        **{"labels": len(groups), "counts": counts},
        **{"repeated": len(cases) - len(texts), "warnings": warnings},
    }


def letters(text: str) -> str:
    """What is compared of a query: no case, punctuation or white space; of one that has nothing else, all."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold()) or text


def write_lines(path: Path, cases: list[Case]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The trusted side of this task: draws rows, and alone knows their right answers (data/)."""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from metrics import METRICS

HERE = Path(__file__).parent
METRIC = METRICS["METRIC"]
Row = dict[str, Any]  # {"id", "input", "answer"}; an instance has no answer


def read_rows(split: str) -> list[Row]:
    lines = (HERE / "data" / f"{split}.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def plain(text: str) -> str:
    """Without differences that make no other question."""
    return " ".join(re.findall(r"\w+", text.casefold())) or text


ROWS = {split: read_rows(split) for split in ("train", "gate", "test")}
RIGHT = {row["id"]: row["answer"] for rows in ROWS.values() for row in rows}
KNOWN = {plain(row["input"]) for rows in ROWS.values() for row in rows}
TRAIN = {row["id"]: row["answer"] for row in ROWS["train"]}


def draw(split: str, count: int, seed: int) -> list[Row]:
    """At most `count` rows of the split, each once."""
    rows = random.Random(f"{split}-{seed}").sample(ROWS[split], min(count, len(ROWS[split])))
    return [{"id": row["id"], "input": row["input"]} for row in rows]


def check_instance(instance: Row) -> str:
    known = instance.get("id") in RIGHT or isinstance(instance.get("_answer", instance.get("answer")), str)
    return "" if known else 'its right answer is not known: give it as "answer"'


def score(instance: Row, answer: str) -> float:
    right = RIGHT.get(instance["id"], instance.get("_answer", instance.get("answer")))
    return METRIC(answer.strip(), right)


def answers(instance: Row) -> list[str]:
    """The right answer of a train row, which weights may learn from. None for any other row."""
    right = TRAIN.get(instance["id"], instance.get("_answer"))
    return [right] if isinstance(right, str) else []


def from_feedback(posted: dict[str, Any]) -> Row | str:
    """A train row out of an answer that a user corrected. `_answer` is seen by this program alone."""
    question, right = posted["instance"].get("input"), posted["right"].strip()
    if not isinstance(question, str) or not right:
        return "it needs an input, and the right answer with the score"
    return "its input is a row already" if plain(question) in KNOWN else {"input": question, "_answer": right}

"""The trusted side of intents: draws queries, and alone knows their labels (data/, which data.py writes)."""

from __future__ import annotations

import json
import random
import re
import unicodedata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

Case = dict[str, Any]  # {"id", "text", "label"}; an instance has no label


def read_cases(path: Path) -> list[Case]:
    """No file, no cases."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")  # splitlines splits at U+2028, too
    return [json.loads(line) for line in lines if line]


CASES = {split: read_cases(HERE / "data" / f"{split}.jsonl") for split in ("train", "gate", "test", "eval")}
LABEL = {case["id"]: case["label"] for cases in CASES.values() for case in cases}
TRAIN = {case["id"]: case["label"] for case in CASES["train"]}
LABELS = json.loads((HERE / "public" / "labels.json").read_text(encoding="utf-8"))


def draw(split: str, count: int, seed: int) -> list[Case]:
    """At most `count` queries of the split, each once. The seed decides which and in what order."""
    cases = CASES[split]
    drawn = random.Random(f"{split}-{seed}").sample(cases, min(count, len(cases)))
    return [{"id": case["id"], "text": case["text"]} for case in drawn]


def check_instance(instance: Case) -> str:
    return "" if label_of(instance) is not None else "its label is not known: give a file with labels"


def score(instance: Case, text: str) -> dict[str, Any]:
    """1 for the right label, 0 for any other; what is no label of the list is refused."""
    answer = text.strip()
    if answer == label_of(instance):
        return {"outcome": "ok", "score": 1.0, "detail": f"answered {answer}"}
    outcome = "wrong" if answer in LABELS else "refused"
    return {"outcome": outcome, "score": 0.0, "detail": f"answered {answer[:80]!r}"}


def answers(instance: Case) -> list[str]:
    """The right label of a train query, which weights may learn from. None for any other query."""
    right = TRAIN.get(instance["id"], instance.get("_label"))
    return [right] if right else []


def label_of(instance: Case) -> str | None:
    """`_label`: of a query that a user posted; this program alone sees it."""
    label: str | None = LABEL.get(instance.get("id", ""), instance.get("_label"))
    return label


def from_feedback(posted: dict[str, Any]) -> Case | str:
    """A train query out of an answer whose right label a user told."""
    text, label = posted["instance"].get("text"), posted["right"].strip()
    if not isinstance(text, str) or label not in LABELS:
        return "it needs a text, and the right label (of the list) with the score"
    known = {plain(case["text"]) for cases in CASES.values() for case in cases}
    return "its text is a query already" if plain(text) in known else {"text": text, "_label": label}


def plain(text: str) -> str:
    """Without differences that make no other query: as data.py compares them."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold()) or text

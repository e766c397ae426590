"""The trusted side of intents: draws queries, and alone knows their labels (data/, which data.py writes)."""

from __future__ import annotations

import json
import random
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
    return "" if instance.get("id") in LABEL else "its label is not known: give a file with labels"


def score(instance: Case, text: str) -> dict[str, Any]:
    """1 for the right label, 0 for any other; what is no label of the list is refused."""
    answer = text.strip()
    if answer == LABEL[instance["id"]]:
        return {"outcome": "ok", "score": 1.0, "detail": f"answered {answer}"}
    outcome = "wrong" if answer in LABELS else "refused"
    return {"outcome": outcome, "score": 0.0, "detail": f"answered {answer[:80]!r}"}


def answers(instance: Case) -> list[str]:
    """The right label of a train query, which weights may learn from. None for any other query."""
    return [TRAIN[instance["id"]]] if instance.get("id") in TRAIN else []

"""The trusted side of lawbench: it alone reads data/ (labels, gate and test cases). Scores are set-F1 of the
charges, exact in the normal form of charges.py; LawBench's published scorer stands beside it as a metric.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

from charges import normal, official_f1, official_options, parse_answer, set_f1

HERE = Path(__file__).parent
SPLITS = ("train", "gate", "test")
OPTIONS = official_options()

Case = dict[str, Any]  # {"id", "fact", "charges"}


def read_cases(path: Path) -> list[Case]:
    """A file that data.py wrote; no file, no cases."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


CASES = {split: read_cases(HERE / "data" / f"{split}.jsonl") for split in (*SPLITS, "eval")}
TRUE = {case["id"]: [str(charge) for charge in case["charges"]] for cases in CASES.values() for case in cases}
LABELS = {normal(label) for label in json.loads((HERE / "public" / "labels.json").read_text(encoding="utf-8"))}


def draw(split: str, count: int, seed: int) -> list[Case]:
    """Cases without their charges, in turn one of each charge, in an order that hangs on the seed. Every case
    once: fewer than `count` where the split has no more."""
    rng = random.Random(f"{split}-{seed}")
    by_charge: defaultdict[str, list[Case]] = defaultdict(list)
    for case in rng.sample(CASES[split], len(CASES[split])):
        by_charge[case["charges"][0]].append(case)
    charges = rng.sample(sorted(by_charge), len(by_charge))
    drawn: list[Case] = []
    while charges and len(drawn) < count:
        drawn += [by_charge[charge].pop() for charge in charges]
        charges = [charge for charge in charges if by_charge[charge]]
    return [public(case) for case in drawn[:count]]


def public(case: Case) -> Case:
    return {"id": case["id"], "fact": case["fact"]}


def check_instance(instance: Case) -> str:
    if instance.get("id") not in TRUE:
        return "its charges are not known: give a file with charges, which `ratchet eval` imports"
    return "" if str(instance.get("fact", "")).strip() else "its fact is empty"


def score(instance: Case, text: str) -> dict[str, Any]:
    true = TRUE[instance["id"]]
    said = parse_answer(text)
    f1 = set_f1(said, map(normal, true))
    official, abstained = official_f1(text, true, OPTIONS)
    metrics = {
        "accuracy": float(set(said) == set(map(normal, true))),
        "set_f1": f1,
        "official_f1": official,
        "official_abstained": float(abstained),
    }
    if not LABELS & set(said):
        outcome, detail = "refused", f"names no charge of the list: {text[:80]!r}"
    else:
        outcome, detail = ("ok" if f1 else "wrong"), "answered " + ";".join(said)[:200]
    return {"outcome": outcome, "score": f1, "detail": detail, "metrics": metrics}

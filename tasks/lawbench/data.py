"""Binds a user's cases to a copy of this task: `data.py import SOURCE INTO`, `data.py instances SOURCE INTO`.

SOURCE is a folder of JSON lines (train.jsonl, test.jsonl or dev.jsonl, labels.json), SIA's task folder, or one
file of either, or LawBench's 3-3.json. INTO gets data/ (with charges: the verifier's) and public/ (the list of
charges, and labelled train cases, which scaffolds may read). A mistake: exit code 2, the message on stderr.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from charges import default_labels
from reading import Case, DataError, read_cases, read_folder
from splitting import (
    GATE_SHARE,
    PUBLIC_CASES,
    TEST_SHARE,
    Refusals,
    clean_train,
    content_fault,
    split_off,
    take_balanced,
)

TEST_CASES = 400  # at most, where the test has to be split off


def main(arguments: list[str]) -> int:
    operation, source, into = arguments[0], Path(arguments[1]), Path(arguments[2])
    try:
        if operation == "import":
            print(json.dumps(import_cases(source, into), ensure_ascii=False))
        else:
            for case in evaluation_cases(source, into):
                print(json.dumps(case, ensure_ascii=False))
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def import_cases(source: Path, into: Path) -> dict[str, Any]:
    roles, labels = read_folder(source) if source.is_dir() else ({"train": read_cases(source)}, default_labels())
    refusals = Refusals()
    test = refusals.keep(roles.get("test", []), lambda _, case: content_fault(case))
    held_out = [case for role, cases in roles.items() if role not in ("train", "test") for case in cases]
    train = clean_train(roles["train"], test + held_out, labels, refusals)
    if not test:
        test, train = split_off(train, TEST_CASES, TEST_SHARE)
    wanted = gate_plan(into)
    gate, train = split_off(train, wanted, GATE_SHARE)
    shown = take_balanced(train, len(train), 1, PUBLIC_CASES)
    _require(train, gate, test)
    write_lines(into / "data" / "train.jsonl", train)
    write_lines(into / "data" / "gate.jsonl", gate)
    write_lines(into / "data" / "test.jsonl", test)
    write_lines(into / "public" / "cases.jsonl", [train[position] for position in sorted(shown)])
    (into / "public" / "labels.json").write_text(json.dumps(labels, ensure_ascii=False), encoding="utf-8")
    counts = {"train": len(train), "gate": len(gate), "test": len(test), "public": len(shown)}
    warnings = _warnings(train, gate, test, labels, wanted)
    return {"counts": counts, "charges": len(labels), "refused": refusals.as_json(), "warnings": warnings}


def gate_plan(task: Path) -> int:
    """How many gate cases a run of the task's own settings can use: each serves once."""
    defaults = tomllib.loads((task / "task.toml").read_text(encoding="utf-8"))["defaults"]
    gate = defaults["gate"]
    return int(defaults["run"]["generations"] * (gate["screen_instances"] + gate["max_pairs"]))


def _require(train: list[Case], gate: list[Case], test: list[Case]) -> None:
    for name, cases in (("train", train), ("gate", gate), ("test", test)):
        if not cases:
            raise DataError(
                f"no case is left for the {name} split: the gate takes one in {GATE_SHARE} of a charge's cases, "
                "so some charges need three or more"
            )


def _warnings(
    train: list[Case], gate: list[Case], test: list[Case], labels: list[str], wanted: int
) -> list[str]:
    said = []
    if len(gate) < wanted:
        said.append(
            f"the gate has {len(gate)} cases; a run by this task's defaults can use {wanted}, each once: when "
            "they are used up the run says so and promotes nothing more"
        )
    seen = Counter(name for case in train for name in case["charges"])
    if unseen := [name for name in labels if not seen[name]]:
        said.append(f"{len(unseen)} charges have no train case: {'、'.join(unseen[:5])}")
    judged = len({name for case in gate for name in case["charges"]})
    said.append(f"the gate judges {judged} of {len(labels)} charges: the others have too few cases")
    known = set(labels)
    if strange := sorted({name for case in test for name in case["charges"] if name not in known}):
        said.append(f"{len(strange)} charges of the test are not in the list: {'、'.join(strange[:5])}")
    return said


def evaluation_cases(source: Path, into: Path) -> list[Case]:
    """The cases of one file without their charges, which go where only the verifier looks."""
    cases = read_cases(source)
    faults = [f"{case['id']}: {fault}" for case in cases if (fault := content_fault(case))]
    if faults:
        raise DataError(f"{source}: {'; '.join(faults[:5])}; {len(faults)} cases can't be scored: mend or drop them")
    write_lines(into / "data" / "eval.jsonl", cases)
    return [{"id": case["id"], "fact": case["fact"]} for case in cases]


def write_lines(path: Path, cases: list[Case]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(case, ensure_ascii=False) + "\n" for case in cases), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A task out of a SIA folder: rows with their private answers; a folder of another kind is told apart."""

import csv
import json
import random
from pathlib import Path
from typing import Any

import pytest

from ratchet.tasks import from_sia
from ratchet.tasks.validate import validate
from shared.errors import SettingsError
from shared.tasks.draws import draw
from shared.tasks.task import load_task


def sia_folder(folder: Path) -> Path:
    (folder / "data/public").mkdir(parents=True)
    (folder / "data/private").mkdir()
    (folder / "data/public/task.md").write_text("# Sums\nAdd the numbers {a} and {b}.\n")
    (folder / "data/public/evaluate.py").write_text("raise SystemExit\n")
    return folder


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def questions(count: int) -> list[dict[str, Any]]:
    rng = random.Random(0)
    return [
        {"id": n, "question": f"{rng.randint(1, 999)} plus {rng.randint(1, 999)} ({n})?"}
        for n in range(count)
    ]


def test_questions_with_private_answers_become_a_task_that_validates(tmp_path: Path) -> None:
    source, rows = sia_folder(tmp_path / "sums_sia"), questions(200)
    (source / "data/public/questions.json").write_text(json.dumps(rows))
    gold = [row | {"correct_answer_letter": "ABCD"[row["id"] % 4], "note": "hidden"} for row in rows]
    (source / "data/private/questions.json").write_text(json.dumps(gold))
    notes = from_sia.create(tmp_path / "sums", source)
    assert "private/questions.json: correct_answer_letter" in notes[0]
    task = load_task(str(tmp_path / "sums"))
    shown = draw(task, "train", 3, 1)
    assert all(set(instance) == {"id", "input"} for instance in shown)
    assert "hidden" not in (tmp_path / "sums/public/rows.jsonl").read_text()
    assert "Add the numbers {a}" in (tmp_path / "sums/harness/prompts/system.md").read_text()
    checks = validate(str(tmp_path / "sums"))
    assert all(check.ok for check in checks), [check for check in checks if not check.ok]


def test_a_table_of_columns_and_a_labelled_train_table_are_taken_together(tmp_path: Path) -> None:
    source = sia_folder(tmp_path / "titanic")
    passengers = [{"PassengerId": f"p{n}", "Age": 20 + n, "Cabin": f"B{n}"} for n in range(120)]
    labels = {row["PassengerId"]: str(row["Age"] % 2 == 0) for row in passengers}
    labelled = [row | {"Transported": labels[row["PassengerId"]]} for row in passengers]
    write_csv(source / "data/public/train.csv", labelled[:60])
    write_csv(source / "data/public/test.csv", passengers[60:])
    gold = [{"PassengerId": name, "Transported": label} for name, label in labels.items()]
    write_csv(source / "data/private/test.csv", gold[60:])
    from_sia.create(tmp_path / "told", source)
    rows = [
        json.loads(line)
        for split in ("train", "gate", "test")
        for line in (tmp_path / f"told/data/{split}.jsonl").read_text().splitlines()
    ]
    assert len(rows) == 120
    assert {row["input"]: row["answer"] for row in rows}["Age: 20\nCabin: B0"] == "True"


def test_a_private_table_with_its_questions_joins_a_public_one_of_the_same_columns(tmp_path: Path) -> None:
    source = sia_folder(tmp_path / "cases")
    cases = [{"id": n, "text": f"case {n}", "label": f"charge {n % 3}"} for n in range(80)]
    write_csv(source / "data/public/train.csv", cases[:50])
    renumbered = [row | {"id": number} for number, row in enumerate(cases[50:])]  # ids of train, other cases
    write_csv(source / "data/private/test.csv", renumbered)
    notes = from_sia.create(tmp_path / "told", source)
    assert "private/test.csv: label" in notes[0]
    assert notes[1].strip().startswith("'case 50'")
    assert sum(len(path.read_text().splitlines()) for path in (tmp_path / "told/data").iterdir()) == 80


def test_what_cant_be_imported_is_said_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"task\.md"):
        from_sia.create(tmp_path / "a", tmp_path)
    source = sia_folder(tmp_path / "whole")
    with pytest.raises(SettingsError, match="holds no table"):
        from_sia.create(tmp_path / "a", source)
    (source / "data/private/truth.csv").write_text("seed,score\n1,2\n")
    with pytest.raises(SettingsError, match="as a whole"):
        from_sia.create(tmp_path / "a", source)
    rows = questions(50)
    (source / "data/public/q.jsonl").write_text("\n".join(map(json.dumps, rows)))
    write_csv(source / "data/private/truth.csv", [{"id": row["id"], "x": 1, "y": 2} for row in rows])
    with pytest.raises(SettingsError, match="several columns"):
        from_sia.create(tmp_path / "a", source)
    write_csv(source / "data/private/truth.csv", [{"id": row["id"], "answer": 1} for row in rows[:12]])
    with pytest.raises(SettingsError, match="12 rows"):
        from_sia.create(tmp_path / "a", source)
    assert not (tmp_path / "a").exists()

"""A task out of a SIA folder: rows with their private answers; a folder of another kind is told apart."""

import csv
import json
import random
import re
from collections.abc import Callable
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "gold"),
    [
        (lambda rows: rows, lambda right: right),  # {id: answer}
        (lambda rows: {"questions": rows}, lambda right: {n: {"answer": a} for n, a in right.items()}),
        (
            lambda rows: {row["id"]: {"question": row["question"]} for row in rows},
            lambda right: {"answers": [{"id": n, "answer": a} for n, a in right.items()]},
        ),
    ],
)
def test_rows_may_stand_under_their_ids_or_under_one_name(
    tmp_path: Path, asked: Callable[[Any], Any], gold: Callable[[Any], Any]
) -> None:
    source, rows = sia_folder(tmp_path / "sums_sia"), questions(60)
    (source / "data/public/meta.json").write_text(json.dumps({"name": "sums", "version": 3}))
    (source / "data/public/questions.json").write_text(json.dumps(asked(rows)))
    right = {str(row["id"]): "ABCD"[row["id"] % 4] for row in rows}
    (source / "data/private/answers.json").write_text(json.dumps(gold(right)))
    from_sia.create(tmp_path / "sums", source)
    lines = [
        json.loads(line)
        for split in ("train", "gate", "test")
        for line in (tmp_path / f"sums/data/{split}.jsonl").read_text().splitlines()
    ]
    assert {row["input"]: row["answer"] for row in lines} == {
        row["question"]: right[str(row["id"])] for row in rows
    }


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


@pytest.mark.slow
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


ANSWERS = [{"id": n, "label": f"charge {n % 3}"} for n in range(80)]
ASKED = [{"id": n, "text": f"case {n}"} for n in range(80)]


def made(tmp_path: Path, public: dict[str, Any], private: Any = ANSWERS) -> tuple[dict[str, str], list[str]]:
    """(inputs with their answers, notes) of a folder of such tables: rows, or the text of the file."""
    source = sia_folder(tmp_path / "source")
    for side, name, rows in [("public", *one) for one in public.items()] + [("private", "test.csv", private)]:
        path = source / "data" / side / name
        if isinstance(rows, str):
            path.write_text(rows, encoding="utf-8", newline="")
        else:
            write_csv(path, rows)
    notes = from_sia.create(tmp_path / "told", source)
    lines = [
        line
        for split in ("train", "gate", "test")
        for line in (tmp_path / f"told/data/{split}.jsonl").read_text(encoding="utf-8").split("\n")
        if line
    ]
    return {row["input"]: row["answer"] for row in map(json.loads, lines)}, notes


def test_a_sample_submission_tells_no_answer(tmp_path: Path) -> None:
    sample = [row | {"label": "charge 0"} for row in ASKED]
    bare = [{"id": row["id"], "prediction": "charge 0"} for row in ASKED]
    found, _ = made(tmp_path, {"a_sample.csv": sample, "b_sample.csv": bare, "test.csv": ASKED})
    assert found == {f"case {n}": f"charge {n % 3}" for n in range(80)}


@pytest.mark.slow
def test_the_index_that_pandas_writes_is_no_id(tmp_path: Path) -> None:
    """The rows of the two tables need not stand in one order."""
    asked = [{"": n} | row for n, row in enumerate(ASKED)]
    answers = [{"": n} | row for n, row in enumerate(reversed(ANSWERS))]
    found, _ = made(tmp_path, {"test.csv": asked}, answers)
    assert found == {f"case {n}": f"charge {n % 3}" for n in range(80)}


@pytest.mark.slow
def test_train_rows_join_by_the_columns_of_the_questions_alone(tmp_path: Path) -> None:
    train = [{"text": f"old {n}", "label": "x", "difficulty": "hard"} for n in range(50)]
    other = [{"fact": "y", "label": "x"}]
    found, notes = made(tmp_path, {"other.csv": other, "test.csv": ASKED, "train.csv": train})
    assert len(found) == 130
    assert found["old 3"] == "x"
    assert any("public/other.csv: left out, as no train table: it has no text" in note for note in notes)


@pytest.mark.slow
def test_a_text_holds_any_kind_of_line_end(tmp_path: Path) -> None:
    asked = [row | {"text": f"case {row['id']}\u2028\x85of\nmany lines"} for row in ASKED]
    found, _ = made(tmp_path, {"test.csv": asked})
    assert found["case 7\u2028\x85of\nmany lines"] == "charge 1"


@pytest.mark.slow
def test_tables_with_other_separators_are_read(tmp_path: Path) -> None:
    text = "".join(f"{row['id']}; {row['text']}\n" for row in ASKED)
    found, _ = made(tmp_path, {"test.csv": f"id; text\n{text}"})
    assert len(found) == 80


TORN = {
    "more values than columns": "id,text\n1,one, two\n",
    "two columns are called 'text'": "id,text,text\n1,a,b\n",
    "can't read .*expected after": 'id,text\n1,"a\n2,"b\n',
}


@pytest.mark.parametrize("reason", TORN)
def test_a_table_whose_values_would_stand_under_other_names_is_refused(reason: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=reason):
        made(tmp_path, {"test.csv": TORN[reason]})


def json_answers(tmp_path: Path, labels: list[Any]) -> dict[str, str]:
    source = sia_folder(tmp_path / "source")
    (source / "data/public/test.json").write_text(json.dumps(ASKED))
    gold = [{"id": n, "label": label} for n, label in enumerate(labels)]
    (source / "data/private/test.json").write_text(json.dumps(gold))
    from_sia.create(tmp_path / "told", source)
    rows = (tmp_path / "told/public/rows.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["input"]: row["answer"] for row in map(json.loads, rows)}


def test_answers_are_spelt_as_json_does_and_null_is_none(tmp_path: Path) -> None:
    found = json_answers(tmp_path, [None, True, False, 1.5] * 20)
    assert set(found.values()) == {"true", "false", "1.5"}
    assert "case 0" not in found


@pytest.mark.parametrize(
    ("label", "reason"), [(["a"], "an answer is not text"), ("\ud83d", "surrogate pair")]
)
def test_an_answer_that_is_no_text_is_named(label: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=reason):
        json_answers(tmp_path, [label] * 80)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"case_id": 5, "label": "other"}, "private/test.csv: case_id '5' occurs twice"),
        ({"case_id": 777, "label": "a"}, "case_id '777' does not stand in public/test.csv"),
    ],
)
def test_ids_are_never_taken_for_questions_where_one_row_has_a_wrong_id(
    more: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    source = sia_folder(tmp_path / "labels_sia")
    asked = [{"case_id": row["id"], "text": row["question"]} for row in questions(100)]
    write_csv(source / "data/public/test.csv", asked)
    gold = [{"case_id": row["case_id"], "label": "ab"[row["case_id"] % 2]} for row in asked]
    write_csv(source / "data/private/test.csv", [*gold, more])
    with pytest.raises(SettingsError, match=re.escape(reason)):
        from_sia.create(tmp_path / "labels", source)


def test_a_private_table_of_ids_and_answers_alone_holds_no_questions(tmp_path: Path) -> None:
    source = sia_folder(tmp_path / "labels_sia")
    write_csv(source / "data/private/test.csv", [{"case_id": n, "label": "ab"[n % 2]} for n in range(100)])
    with pytest.raises(SettingsError, match="by a common id"):
        from_sia.create(tmp_path / "labels", source)


def test_rows_that_give_no_pair_of_their_own_are_counted(tmp_path: Path) -> None:
    source = sia_folder(tmp_path / "labels_sia")
    rows = [{"id": n, "text": f"text {n % 80}"} for n in range(100)]
    (source / "data/public/test.json").write_text(json.dumps(rows))
    answers = [float("nan") if n < 10 else "b" if n == 99 else "a" for n in range(100)]
    gold = [{"id": n, "label": answer} for n, answer in enumerate(answers)]
    (source / "data/private/test.json").write_text(json.dumps(gold))
    notes = "\n".join(from_sia.create(tmp_path / "labels", source))
    assert "note: 10 rows of private/test.json have no answer" in notes
    assert "note: 10 rows of public/test.json ask what an earlier one asks" in notes
    assert "note: 1 of them have another answer than the first, which was taken" in notes
    assert "NaN" not in (tmp_path / "labels/data/train.jsonl").read_text()


def test_answers_to_further_questions_are_not_left_out_in_silence(tmp_path: Path) -> None:
    source = sia_folder(tmp_path / "labels_sia")
    for name, count in (("dev", 50), ("test", 90)):
        rows = [{"id": f"{name}{row['id']}", "text": row["question"]} for row in questions(count)]
        write_csv(source / f"data/public/{name}.csv", rows)
        write_csv(source / f"data/private/{name}.csv", [{"id": row["id"], "label": "a"} for row in rows])
    notes = from_sia.create(tmp_path / "labels", source)
    assert "  note: private/dev.csv: left out: private/test.csv answers as many questions, or more" in notes

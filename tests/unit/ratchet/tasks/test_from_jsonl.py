"""A task out of a file of rows: columns guessed, splits by content, a metric, and the whole task valid."""

import gzip
import json
import random
import re
import tomllib
from pathlib import Path

import pytest

from ratchet.tasks import from_jsonl
from ratchet.tasks.rows_file import read
from ratchet.tasks.validate import validate
from shared.errors import SettingsError
from shared.tasks.draws import draw
from shared.tasks.task import load_task
from tests.parts.task_modules import load_module


def rows_file(folder: Path, count: int = 200, **renamed: str) -> Path:
    rng = random.Random(0)
    file = folder / "rows.jsonl"
    rows = [
        (f"{a} plus {b}?", str(a + b))
        for a, b in [(rng.randint(1, 999), rng.randint(1, 999)) for _ in range(count)]
    ]
    names = {"question": "question", "answer": "answer"} | renamed
    lines = [
        json.dumps({names["question"]: question, "topic": "sums", names["answer"]: answer})
        for question, answer in rows
    ]
    file.write_text("\ufeff" + "\n".join(lines) + "\n", encoding="utf-8")
    return file


def inputs(file: Path) -> set[str]:
    return {json.loads(line)["input"] for line in file.read_text(encoding="utf-8").splitlines()}


def test_a_file_of_rows_becomes_a_task_that_validates(tmp_path: Path) -> None:
    notes = from_jsonl.create(tmp_path / "sums", rows_file(tmp_path), "numeric")
    assert "input from 'question', right answer from 'answer'" in notes[0]
    manifest = tomllib.loads((tmp_path / "sums/task.toml").read_text())
    assert (manifest["name"], manifest["score"]["unit"]) == ("sums", "numeric")
    checks = validate(str(tmp_path / "sums"))
    assert all(check.ok for check in checks), [check for check in checks if not check.ok]


def test_a_row_keeps_its_split_when_the_file_grows() -> None:
    pairs = [(f"input {number}", "x") for number in range(300)]
    before, after = from_jsonl.split(pairs[:200]), from_jsonl.split(pairs)
    for name, found in before.items():
        assert set(found) <= set(after[name])
    assert 0.1 < len(after["test"]) / 300 < 0.3


@pytest.mark.parametrize("change", ["{}?", "{} .", "  {}", "({})"])
def test_a_question_with_other_punctuation_is_in_the_same_split(change: str) -> None:
    plain, changed = (
        from_jsonl.split([(form.format(f"Déjà vu {n}"), "x") for n in range(99)]) for form in ("{}", change)
    )
    assert {name: len(found) for name, found in plain.items()} == {
        name: len(found) for name, found in changed.items()
    }


def test_a_file_that_holds_no_lines_of_rows_is_told_what_it_is(tmp_path: Path) -> None:
    rows = [{"input": f"q{n}", "answer": "x"} for n in range(50)]
    told: dict[str, tuple[bytes, str]] = {
        "a.json": (json.dumps({"data": rows}, indent=1).encode(), "one JSON object .its 'data' is a list"),
        "a.xls": (b"\xd0\xcf\x11\xe0", "pandas.read_excel"),
        "a.feather": (b"ARROW1\xff", "pandas.read_feather"),
        "a.jsonl.gz": (gzip.compress(json.dumps(rows).encode()), "it is packed: unpack it"),
        "a.parquet": (b"PAR1\xff", "read_parquet"),
    }
    for name, (data, reason) in told.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SettingsError, match=reason):
            read(tmp_path / name)


def test_a_corrected_answer_makes_a_train_row_whose_answer_the_verifier_alone_gets(tmp_path: Path) -> None:
    from_jsonl.create(tmp_path / "sums", rows_file(tmp_path), "exact")
    verifier = load_module(tmp_path / "sums", "verifier.py")
    made = verifier.from_feedback({"instance": {"input": "2000 plus 2?"}, "right": "2002"})
    assert made == {"input": "2000 plus 2?", "_answer": "2002"}
    row = {"id": "posted-1", **made}
    assert (verifier.check_instance(row), verifier.score(row, "2002"), verifier.score(row, "2003")) == (
        "",
        1,
        0,
    )
    assert verifier.answers(row) == ["2002"]
    held_back = verifier.draw("test", 1, 0)[0]
    for other in ("", "!?"):  # other punctuation makes no other question
        posted = {"instance": {"input": held_back["input"] + other}, "right": "1"}
        assert "already" in verifier.from_feedback(posted)
    assert verifier.answers(held_back) == []
    assert "right answer" in verifier.from_feedback({"instance": {"input": "1 plus 1?"}, "right": ""})


def test_only_train_rows_and_their_answers_are_public(tmp_path: Path) -> None:
    from_jsonl.create(tmp_path / "sums", rows_file(tmp_path), "exact")
    public = inputs(tmp_path / "sums/public/rows.jsonl")
    for split in ("gate", "test"):
        hidden = inputs(tmp_path / f"sums/data/{split}.jsonl")
        assert hidden
        assert not hidden & public


@pytest.mark.parametrize(
    ("change", "metric", "message"),
    [
        ({}, "bleu", "unknown metric"),
        ({}, "python:none.py", "no score function"),
        ({"question": "situation"}, "exact", "looks like the input"),
        ({"answer": "verdict"}, "exact", "looks like the answer"),
    ],
)
def test_a_mistake_is_named_and_leaves_nothing(
    tmp_path: Path, change: dict[str, str], metric: str, message: str
) -> None:
    file = rows_file(tmp_path, **change)
    with pytest.raises(SettingsError, match=message):
        from_jsonl.create(tmp_path / "task", file, metric)
    assert not (tmp_path / "task").exists()


def test_a_metric_of_ones_own_scores(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def score(answer: str, right: str) -> float:\n    return 0.25\n")
    from_jsonl.create(tmp_path / "task", rows_file(tmp_path), f"python:{tmp_path / 'mine.py'}")
    verifier = load_module(tmp_path / "task", "verifier.py")
    (instance,) = verifier.draw("gate", 1, 0)
    assert verifier.score(instance, "anything") == 0.25


def test_a_metric_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_bytes(b"# \xe9\ndef score(answer, right):\n    return 0.25\n")
    with pytest.raises(SettingsError, match=r"mine.py is not UTF-8"):
        from_jsonl.create(tmp_path / "task", rows_file(tmp_path), f"python:{tmp_path / 'mine.py'}")
    assert not (tmp_path / "task").exists()


def test_metrics_on_answers_worked_out_by_hand() -> None:
    metrics = load_module(from_jsonl.TEMPLATE, "metrics.py").METRICS
    assert metrics["exact"](" a  b ", "a b") == 1
    assert metrics["exact"]("a B", "a b") == 0
    assert metrics["contains"]("It is Paris, of course", "paris") == 1
    assert metrics["contains"]("Parisian", "paris") == 0
    assert metrics["f1"]("the cat sat", "the cat ran off") == pytest.approx(2 * 2 / (3 + 4))
    assert metrics["f1"]("dog", "cat") == 0
    assert metrics["numeric"]("so 3 and then 1,204.0", "1204") == 1
    assert metrics["numeric"]("none", "3") == 0
    assert metrics["regex"]("abc-12", r"^[a-z]+-\d+$") == 1


ODD = "a line\u2028within, and\u0085another"  # what splits a Python text into lines and no JSON


def test_a_text_may_hold_any_character_and_the_file_may_be_one_list(tmp_path: Path) -> None:
    rows = [{"input": f"{number} {ODD}", "answer": number % 3 == 0} for number in range(60)]
    file = tmp_path / "rows.json"
    for text in (
        json.dumps(rows, ensure_ascii=False, indent=1),
        "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
    ):
        file.write_text(text, encoding="utf-8", newline="")
        pairs = read(file).pairs
        assert pairs[:2] == [(f"0 {ODD}", "true"), (f"1 {ODD}", "false")]
        assert len(pairs) == 60
    from_jsonl.create(tmp_path / "odd", file, "exact")
    drawn = [
        row
        for split in ("train", "gate", "test")
        for row in draw(load_task(str(tmp_path / "odd")), split, 60, 0)
    ]
    assert len(drawn) == 60


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"input": "half \\ud83d", "answer": "1"}', "line 41 holds half of a surrogate pair"),
        ('{"input": ' + "9" * 5000 + ', "answer": "1"}', "line 41 is not JSON: ValueError"),
        ("[" * 9999, "line 41 is not JSON: RecursionError"),
        ('{"input": "a", "answer": ["b", "c"]}', "row 41: 'answer' is not text"),
        ('{"input": {"a": 1}, "answer": "b"}', "row 41: 'input' is not text"),
        ('["a", "b"]', "line 41 is not a JSON object"),
        ('{"input": "a"}', "row 41: 'answer' is missing"),
        ('{"input": "a", "answer": null}', "row 41: 'answer' is missing"),
        ('{"input": "a", "answer": NaN}', "row 41: 'answer' is missing"),
        ('{"input": " ", "answer": "x"}', "row 41: 'input' is missing or empty"),
    ],
)
def test_a_row_that_is_none_is_named_and_no_folder_is_left(line: str, reason: str, tmp_path: Path) -> None:
    good = "".join(json.dumps({"input": f"q{number}", "answer": "x"}) + "\n" for number in range(40))
    (tmp_path / "rows.jsonl").write_text(good + line + "\n")

    with pytest.raises(SettingsError, match=reason):
        from_jsonl.create(tmp_path / "made", tmp_path / "rows.jsonl", "exact")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize("name", ['a "quoted" one', "Capital", "two\nlines", "项目"])
def test_a_folder_whose_name_is_none_for_a_task_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="not a name for a task"):
        from_jsonl.create(tmp_path / name, rows_file(tmp_path), "exact")


def write_rows(file: Path, rows: list[dict]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_what_is_not_taken_of_the_rows_is_said(tmp_path: Path) -> None:
    rows = [{"question": f"q{n // 2}", "choices": ["a", "b"], "answer": n % 2} for n in range(120)]
    notes = from_jsonl.create(tmp_path / "made", write_rows(tmp_path / "rows.jsonl", rows), "exact")
    assert [line for line in notes if "note" in line] == [
        "  note: 60 repeated inputs were left out",
        "  note: 60 of them have another answer than the first, which was taken",
        "  note: not used: choices; what the model needs of them belongs into the input",
    ]


def test_a_column_that_is_empty_throughout_is_not_taken(tmp_path: Path) -> None:
    rows = [{"instruction": f"say {n}", "input": "", "output": str(n)} for n in range(60)]
    found = read(write_rows(tmp_path / "rows.jsonl", rows))
    assert (found.input_column, len(found.pairs)) == ("instruction", 60)


def test_rows_that_ask_one_question_make_no_three_splits(tmp_path: Path) -> None:
    rows = [{"context": f"c{n}", "question": "Which one is it?", "answer": n} for n in range(60)]
    with pytest.raises(SettingsError, match="'question' holds 1 different inputs, and none for"):
        from_jsonl.create(tmp_path / "made", write_rows(tmp_path / "rows.jsonl", rows), "exact")


@pytest.mark.parametrize(
    ("metric", "right"), [("numeric", "12 apples"), ("regex", "f("), ("contains", "++"), ("f1", "++")]
)
def test_a_right_answer_that_the_metric_can_not_compare_with_is_named(
    metric: str, right: str, tmp_path: Path
) -> None:
    rows = [{"input": f"q{n}", "answer": right if n == 50 else "7"} for n in range(60)]
    with pytest.raises(SettingsError, match=r"can't compare .* of 'q50'") as caught:
        from_jsonl.create(tmp_path / "made", write_rows(tmp_path / "rows.jsonl", rows), metric)
    assert "--metric" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("rows.csv", "input,answer\na,b\n", r"pandas.read_csv\('rows.csv'\)"),
        ("rows.tsv", "input\tanswer\na\tb\n", r"sep='\\t'"),
        ("rows.json", '{\n "input": "a"\n}', "one list"),
        ("rows.json", json.dumps({"data": [{}] * 50}), "'data' is a list"),
    ],
)
def test_a_file_of_another_form_is_refused_with_how_to_write_it(
    name: str, text: str, hint: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError) as caught:
        read(tmp_path / name)
    assert re.search(hint, caught.value.hint)

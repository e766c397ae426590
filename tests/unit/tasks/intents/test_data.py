"""The intents task's data.py: splits that share nothing, few labelled cases by default, mistakes by place."""

import json
from collections import Counter

import pytest

from tests.unit.tasks.intents.parts import ask, lines, load, write

CASES = [
    {"id": f"{label}-{number}", "text": f"{label} query {number}", "label": label}
    for label in ("card", "cash", "pin")
    for number in range(40)
]


def imported(tmp_path, monkeypatch, cases=CASES, **wanted):
    path = write(tmp_path / "mine.jsonl", cases)
    code, out, err = ask("import", path, tmp_path / "task", monkeypatch, wanted)
    assert code == 0, err
    splits = {name: lines(tmp_path / "task" / "data" / f"{name}.jsonl") for name in ("train", "gate", "test")}
    return json.loads(out), splits


def test_splits_share_nothing_and_scaffolds_read_the_train_cases_alone(tmp_path, monkeypatch):
    _, splits = imported(tmp_path, monkeypatch, gate=24, test=12)
    assert Counter(case["label"] for case in splits["train"]) == {"card": 10, "cash": 10, "pin": 10}
    assert Counter(case["label"] for case in splits["gate"]) == {"card": 8, "cash": 8, "pin": 8}
    assert Counter(case["label"] for case in splits["test"]) == {"card": 4, "cash": 4, "pin": 4}
    ids = [case["id"] for cases in splits.values() for case in cases]
    assert len(ids) == len(set(ids))
    assert lines(tmp_path / "task" / "public" / "cases.jsonl") == splits["train"]
    assert json.loads((tmp_path / "task/public/labels.json").read_text()) == ["card", "cash", "pin"]


def test_more_labelled_cases_are_taken_where_the_run_wants_them(tmp_path, monkeypatch):
    _, splits = imported(tmp_path, monkeypatch, gate=24, test=12, per_label=20)
    assert Counter(case["label"] for case in splits["train"])["pin"] == 20


@pytest.mark.parametrize("per_label", [0, -3, 2.5, True, "ten"])
def test_a_number_of_labelled_cases_that_is_none_is_named(per_label, tmp_path, monkeypatch):
    path = write(tmp_path / "mine.jsonl", CASES)
    wanted = {"per_label": per_label, "gate": 24, "test": 12}
    code, _, err = ask("import", path, tmp_path / "task", monkeypatch, wanted)
    assert code == 2
    assert f"data.per_label is a whole number of at least 1, not {per_label!r}" in err


def test_gate_and_test_leave_a_small_label_something_to_learn_from(tmp_path, monkeypatch):
    _, splits = imported(tmp_path, monkeypatch, [*CASES[:40], *CASES[40:45]], gate=1000, test=1000)
    counts = {split: Counter(case["label"] for case in cases)["cash"] for split, cases in splits.items()}
    assert counts == {"test": 1, "gate": 1, "train": 3}


def test_the_same_query_twice_is_taken_once(tmp_path, monkeypatch):
    copies = [{**case, "id": f"{case['id']}b", "text": f" {case['text'].upper()} "} for case in CASES[:5]]
    summary, splits = imported(tmp_path, monkeypatch, [*CASES, *copies], per_label=100)
    texts = [case["text"].casefold() for cases in splits.values() for case in cases]
    assert summary["repeated"] == 5
    assert len(texts) == len(set(texts)) == len(CASES)


def test_a_query_with_other_punctuation_is_the_same_query(tmp_path, monkeypatch):
    copies = [{**case, "id": f"{case['id']}b", "text": f"({case['text']})?!"} for case in CASES[:5]]
    summary, _ = imported(tmp_path, monkeypatch, [*CASES, *copies], per_label=100)
    assert summary["repeated"] == 5


def test_instances_to_evaluate_come_without_labels_which_only_the_verifier_gets(tmp_path, monkeypatch):
    imported(tmp_path, monkeypatch, gate=24, test=12)
    path = write(tmp_path / "mine.jsonl", CASES[:3])
    code, out, _ = ask("instances", path, tmp_path / "task", monkeypatch)
    assert code == 0
    assert [json.loads(line) for line in out.splitlines()] == [
        {"id": case["id"], "text": case["text"]} for case in CASES[:3]
    ]
    assert lines(tmp_path / "task" / "data" / "eval.jsonl") == CASES[:3]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"id": null, "text": "a", "label": "x"}\n' * 2, "all queries have the same label"),
        ('{"text": "a", "label": "x"}\n{', "line 2 is not JSON"),
        ("[1]\n", "line 1 is not a JSON object"),
        ("text,label\na,x\n", "pandas.read_csv(FILE)"),
        ('{"text": "a"}\n', 'line 1: no text in "label"'),
        ('{"text": 7, "label": "x"}\n', 'line 1: no text in "text"'),
        ('{"id": 1, "text": "a", "label": "x"}\n' * 2, 'line 2: the id "1" occurs twice'),
        ('{"text": "a", "label": "x"}\n{"text": "b", "label": "x"}\n', "all queries have the same label"),
        ('{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n', "no query is left for the test split"),
        ("\n", "holds no query"),
        ('{"text": "half \\ud83d", "label": "x"}\n', "line 1 holds half of a surrogate pair"),
        ("[" * 9999, "line 1 is not JSON"),
        ('{"id": ' + "9" * 5000 + "}", "line 1 is not JSON"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_nothing_is_imported(tmp_path, monkeypatch, text, reason):
    (tmp_path / "bad.jsonl").write_text(text)
    code, out, err = ask("import", tmp_path / "bad.jsonl", tmp_path / "task", monkeypatch)
    assert (code, out) == (2, "")
    assert reason in err
    assert not (tmp_path / "task" / "data" / "train.jsonl").exists()


def test_a_query_may_hold_any_character(tmp_path, monkeypatch):
    odd = [case | {"text": f"{case['text']}\u2028within\u0085it"} for case in CASES]
    text = "".join(json.dumps(case, ensure_ascii=False) + "\r\n" for case in odd)
    (tmp_path / "mine.jsonl").write_text(text, encoding="utf-8", newline="")
    code, _, err = ask(
        "import", tmp_path / "mine.jsonl", tmp_path / "task", monkeypatch, {"gate": 24, "test": 12}
    )
    assert code == 0, err
    read_cases = load("verifier.py").read_cases
    assert len(read_cases(tmp_path / "task" / "data" / "gate.jsonl")) == 24


def test_a_file_that_can_not_be_read_is_named(tmp_path, monkeypatch):
    code, _, err = ask("import", tmp_path / "nowhere.jsonl", tmp_path / "task", monkeypatch)
    assert (code, err.strip()) == (2, f"can't read {tmp_path / 'nowhere.jsonl'}: No such file or directory")


def test_a_file_in_another_encoding_is_named(tmp_path, monkeypatch):
    (tmp_path / "bad.jsonl").write_bytes(b'{"text": "caf\xe9", "label": "x"}\n')
    assert "is not UTF-8" in ask("import", tmp_path / "bad.jsonl", tmp_path / "task", monkeypatch)[2]


@pytest.mark.parametrize(
    ("start", "hint"),
    [(b"\x1f\x8b", "unpack it"), (b"PK\x03\x04", "pandas.read_excel"), (b"PAR1", "pandas.read_parquet")],
)
def test_a_file_that_is_no_text_is_told_from_one_in_another_encoding(start, hint, tmp_path, monkeypatch):
    (tmp_path / "bad.jsonl").write_bytes(start + bytes(range(256)))
    err = ask("import", tmp_path / "bad.jsonl", tmp_path / "task", monkeypatch)[2]
    assert hint in err
    assert "iconv" not in err


def test_labels_that_nobody_can_answer_are_said_before_an_evaluation(tmp_path, monkeypatch):
    imported(tmp_path, monkeypatch, gate=24, test=12)
    some = write(tmp_path / "some.jsonl", [CASES[0], {"text": "b", "label": "strange"}])
    code, _, err = ask("instances", some, tmp_path / "task", monkeypatch)
    assert code == 0
    assert "1 labels are not in the list and can't be answered: strange" in err
    code, out, err = ask(
        "instances",
        write(tmp_path / "all.jsonl", [CASES[0] | {"label": "Card"}]),
        tmp_path / "task",
        monkeypatch,
    )
    assert (code, out) == (2, "")
    assert "no query has one of its 3 (card, cash, pin, ...)" in err


def test_a_query_with_two_labels_is_said_to_have_them(tmp_path, monkeypatch):
    copy = CASES[0] | {"id": "copy", "label": "pin"}
    summary, _ = imported(tmp_path, monkeypatch, [*CASES, copy], gate=24, test=12)
    (warning,) = summary["warnings"]
    assert warning.startswith("1 repeated queries have another label than the one that was taken: c")

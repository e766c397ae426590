"""LawBench's data.py: three forms, what is refused and why, and every mistake named with its place."""

import csv
import json
import shutil
import sys

import pytest

from tests.unit.tasks.lawbench.parts import FOLDER, ask, lines, load, write

OWN = [case for split in ("train", "gate") for case in lines(FOLDER / "data" / f"{split}.jsonl")]
TEST = lines(FOLDER / "data" / "test.jsonl")


@pytest.fixture
def into(tmp_path):
    copy = tmp_path / "task"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture
def source(tmp_path):
    write(tmp_path / "mine" / "train.jsonl", OWN)
    write(tmp_path / "mine" / "test.jsonl", TEST)
    return tmp_path / "mine"


def imported(source, into):
    done = ask("import", source, into)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(operation, source, into):
    done = ask(operation, source, into)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    return done.stderr


def test_a_folder_of_json_lines_becomes_splits_that_share_nothing(source, into):
    summary = imported(source, into)
    assert summary["counts"] == {"train": 40, "gate": 20, "test": 20, "public": 40}
    assert summary["refused"] == {}
    ids = {
        name: {case["id"] for case in lines(into / "data" / f"{name}.jsonl")}
        for name in ("train", "gate", "test")
    }
    assert len(ids["train"] | ids["gate"] | ids["test"]) == 80
    public = {case["id"] for case in lines(into / "public" / "cases.jsonl")}
    assert public <= ids["train"]


def test_the_gate_takes_as_many_of_each_charge_and_says_when_it_is_smaller_than_a_run_can_use(source, into):
    summary = imported(source, into)
    names = [case["charges"][0] for case in lines(into / "data" / "gate.jsonl")]
    assert {names.count(name) for name in names} == {2}
    assert any("the gate has 20 cases" in warning for warning in summary["warnings"])


def test_cases_that_stand_nearly_in_the_test_too_are_refused_by_name(source, into):
    near = TEST[0]["fact"].replace("，", "，当日", 1)
    rows = [*OWN, {**TEST[1], "id": "copy"}, {**TEST[0], "id": "near", "fact": near}]
    write(source / "train.jsonl", rows)
    summary = imported(source, into)
    (reason,) = summary["refused"]
    assert "held-out" in reason
    assert summary["refused"][reason] == {"count": 2, "first": ["copy", "near"]}


def test_a_near_copy_within_train_never_stands_on_both_sides_of_the_gate(source, into):
    near = [{**case, "id": f"{case['id']}-b", "fact": case["fact"] + "另查明无异议。"} for case in OWN]
    write(source / "train.jsonl", [*OWN, *near])
    done = ask("import", source, into)
    assert done.returncode == 2  # every case has a near copy, so nothing is left for the gate
    assert "no case is left for the gate" in done.stderr


def test_empty_facts_unknown_charges_and_repeated_facts_are_refused_and_counted(source, into):
    rows = [
        *OWN,
        {"id": "empty", "fact": " \n", "charges": ["盗窃"]},
        {"id": "none", "fact": "被告人某某。", "charges": []},
        {"id": "strange", "fact": "被告人驾驶飞碟。", "charges": ["驾驶飞碟"]},
        {**OWN[0], "id": "again"},
    ]
    write(source / "train.jsonl", rows)
    found = imported(source, into)["refused"]
    assert {reason: entry["first"] for reason, entry in found.items()} == {
        "empty fact": ["empty"],
        "no charge": ["none"],
        "charge not in the list: 驾驶飞碟": ["strange"],
        "the same fact twice": ["again"],
    }


def test_broken_lines_are_named_and_nothing_is_imported(source, into):
    path = source / "train.jsonl"
    path.write_text(
        path.read_text(encoding="utf-8") + '{"id": "x", "fact": "半\n[1]\n{"id": "y"}\n', encoding="utf-8"
    )
    message = refused("import", source, into)
    assert "line 61 is not JSON" in message
    assert "line 62: not a JSON object" in message
    assert 'line 63: no text in "fact"' in message


def test_gb18030_is_read_and_what_is_neither_is_named(source, into):
    write(source / "train.jsonl", OWN, encoding="gb18030")
    assert imported(source, into)["counts"]["train"] == 40
    (source / "train.jsonl").write_bytes(b'{"id": "\xff\xff"}')
    assert "neither UTF-8 nor GB18030" in refused("import", source, into)


def test_bracketed_labels_are_the_same_charges(source, into):
    rows = [{**case, "charges": [f"[{name}]" for name in case["charges"]]} for case in OWN]
    write(source / "train.jsonl", rows)
    assert imported(source, into)["refused"] == {}


def test_a_fact_of_twenty_thousand_characters_is_taken(source, into):
    long = {"id": "long", "fact": "".join(case["fact"] for case in OWN * 6)[:20_000], "charges": ["盗窃"]}
    write(source / "train.jsonl", [*OWN, long])
    assert imported(source, into)["counts"]["train"] == 41


def test_lawbench_s_own_file_is_split_by_the_import(tmp_path, into):
    rows = [
        {
            "instruction": "请预测罪名",
            "question": f"事实:{case['fact']}",
            "answer": f"罪名:{case['charges'][0]};盗窃",
        }
        for case in [*OWN, *TEST]
    ]
    path = tmp_path / "3-3.json"
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    summary = imported(path, into)
    assert sum(summary["counts"][split] for split in ("train", "gate", "test")) == 80
    assert all(not case["fact"].startswith("事实") for case in lines(into / "data" / "train.jsonl"))
    assert max(len(case["charges"]) for case in lines(into / "data" / "train.jsonl")) == 2


def test_sia_s_folder_is_read_with_its_classes_and_private_labels(tmp_path, into):
    public = tmp_path / "sia" / "data" / "public"
    public.mkdir(parents=True)
    (tmp_path / "sia" / "data" / "private").mkdir()
    for path, cases in ((public / "train.csv", OWN), (tmp_path / "sia/data/private/test.csv", TEST)):
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(["id", "text", "label"])
            table.writerows(
                [number, case["fact"], f"[{case['charges'][0]}]"] for number, case in enumerate(cases)
            )
    classes = sorted({f"[{case['charges'][0]}]" for case in OWN})
    (public / "classes.json").write_text(json.dumps(classes, ensure_ascii=False), encoding="utf-8")
    summary = imported(tmp_path / "sia", into)
    assert (summary["charges"], summary["counts"]["test"]) == (10, 20)
    assert "盗窃" in json.loads((into / "public" / "labels.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("train.csv", "a,b\n1,2\n", "SIA's are id, text, label"),
        ("3-3.json", "[{}]", "LawBench's 3-3"),
        ("3-3.json", "{", "is not JSON"),
        ("x.jsonl", "\n\n", "holds no case"),
        ("x.jsonl", '{"id": 1, "fact": "a", "charges": []}\n' * 2, "occurs twice"),
        ("x.txt", "", "not a kind of file"),
    ],
)
def test_what_is_not_in_a_known_form_is_refused_with_the_reason(tmp_path, into, name, text, reason):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert reason in refused("import", tmp_path / name, into)


def test_instances_to_evaluate_come_without_charges_which_only_the_verifier_gets(tmp_path, into):
    path = write(tmp_path / "mine.jsonl", [{**case, "id": f"my-{case['id']}"} for case in TEST])
    done = ask("instances", path, into)
    assert [set(json.loads(line)) for line in done.stdout.splitlines()] == [{"id", "fact"}] * 20
    assert [case["charges"] for case in lines(into / "data" / "eval.jsonl")] == [
        case["charges"] for case in TEST
    ]


def test_an_instance_that_can_t_be_scored_is_named(tmp_path, into):
    path = write(tmp_path / "mine.jsonl", [*TEST, {"id": "hollow", "fact": "", "charges": ["盗窃"]}])
    assert "hollow: empty fact" in refused("instances", path, into)


def test_a_case_is_known_again_whatever_the_width_of_its_punctuation():
    load("data.py")
    splitting = sys.modules["splitting"]
    fact = "被告人甲某,于夜间,翻墙,入室,取走,现金,九百,余元;后被,当场,抓获."
    wide = fact.replace(",", "，").replace(";", "；\n").replace(".", "。")
    one, other = (
        {"id": name, "fact": text, "charges": ["盗窃"]} for name, text in (("1", fact), ("2", wide))
    )
    refusals = splitting.Refusals()
    assert splitting.clean_train([one], [other], ["盗窃"], refusals) == []
    assert [case["id"] for case in splitting.clean_train([one, other], [], ["盗窃"], refusals)] == ["1"]

"""Files of cases as people have them: every form gives the same cases; what can't be read is named."""

import csv
import gzip
import io
import json
import sys
from pathlib import Path

import pytest

from tests.unit.tasks.lawbench.parts import load

data = load("data.py")
reading = sys.modules["reading"]
FACTS = [f"被告人{number}号在某地取走他人财物" for number in range(3)]
CHARGES = [["盗窃"], ["诈骗", "盗窃"], ["走私、贩卖、运输、制造毒品"]]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def lines(items: list[object]) -> str:
    return "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)


def pairs(path: Path) -> list[tuple[str, list[str]]]:
    return [(case["fact"], case["charges"]) for case in reading.read_cases(path)]


WANTED = list(zip(FACTS, CHARGES, strict=True))
CAIL = [{"fact": fact, "meta": {"accusation": charges, "criminals": ["甲"]}} for fact, charges in WANTED]
OWN = [{"fact": fact, "charges": charges} for fact, charges in WANTED]
LAWBENCH = [
    {
        "instruction": "x",
        "question": f"事实：{fact}",
        "answer": f"罪名：{'；'.join(f'{name}罪' for name in names)}。",
    }
    for fact, names in WANTED
]


@pytest.mark.parametrize("form", [CAIL, OWN, LAWBENCH], ids=["cail", "own", "lawbench"])
@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_every_form_is_read_as_lines_and_as_a_list(form: list[object], name: str, tmp_path: Path):
    assert pairs(write(tmp_path / name, lines(form))) == WANTED
    assert pairs(write(tmp_path / name, json.dumps(form))) == WANTED


@pytest.mark.parametrize(
    "row",
    [
        {"fact": "甲", "accusation": ["盗窃", "诈骗"], "relevant_articles": [264]},
        {"fact": "甲", "accusation": "盗窃;诈骗"},
        {"fact": "甲", "meta": {"accusation": "盗窃、诈骗"}},
        {"fact": "甲", "charges": ["盗窃；诈骗"]},
        {"text": "甲", "label": "盗窃|诈骗", "id": None},
        {"fact": "甲", "charges": "盗窃罪,诈骗罪", "id": ""},
    ],
)
def test_charges_are_read_under_any_usual_name_as_a_list_or_a_text(row: dict, tmp_path: Path):
    cases = reading.read_cases(write(tmp_path / "x.jsonl", lines([row, row])))
    assert [(case["fact"], case["charges"]) for case in cases] == [("甲", ["盗窃", "诈骗"])] * 2
    assert [case["id"] for case in cases] == ["x-1", "x-2"]


@pytest.mark.parametrize("head", ["text,label", "fact,charges"])
def test_a_table_needs_no_ids(head: str, tmp_path: Path):
    assert pairs(write(tmp_path / "x.csv", f"{head}\n甲,盗窃\n乙,诈骗\n")) == [
        ("甲", ["盗窃"]),
        ("乙", ["诈骗"]),
    ]
    assert pairs(write(tmp_path / "x.tsv", f"{head}\n甲,盗窃\n".replace(",", "\t"))) == [("甲", ["盗窃"])]


@pytest.mark.parametrize(
    "name",
    [
        "test.jsonl",
        "Test.JSONL",
        "test.json",
        "test.jsonl.gz",
        "test.csv",
        "valid.jsonl",
        "data_test.json.gz",
    ],
)
def test_the_held_out_file_of_a_folder_is_found_whatever_its_kind(name: str, tmp_path: Path):
    write(tmp_path / "train.jsonl", lines(OWN))
    text = "fact,charges\n甲,盗窃\n" if ".csv" in name else lines([{"fact": "甲", "charges": ["盗窃"]}])
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    roles, _, left = reading.read_folder(tmp_path)
    assert ([case["fact"] for case in roles["test"]], left) == (["甲"], [])


def test_two_files_of_one_split_are_refused_and_files_of_none_are_named(tmp_path: Path):
    write(tmp_path / "train.jsonl", lines(OWN))
    write(tmp_path / "more.csv", "fact,charges\n甲,盗窃\n")
    write(tmp_path / "test.parquet", "PAR1")
    assert [line.split(":")[0] for line in reading.read_folder(tmp_path)[2]] == ["more.csv", "test.parquet"]
    write(tmp_path / "train.csv", "fact,charges\n甲,盗窃\n")
    with pytest.raises(reading.DataError, match=r"train.csv and train.jsonl both hold the train split"):
        reading.read_folder(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_every_usual_encoding_is_read(encoding: str, tmp_path: Path):
    assert pairs(write(tmp_path / "x.jsonl", lines(OWN), encoding)) == WANTED


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.jsonl.gz", "x.CSV.GZ", "gzip-by-its-bytes.jsonl"])
def test_every_line_end_is_read_and_what_is_packed_is_unpacked(end: str, name: str, tmp_path: Path):
    table = "id,text,label\n" + "".join(f"{n},{fact},{';'.join(c)}\n" for n, (fact, c) in enumerate(WANTED))
    text = (table if ".csv" in name.lower() else lines(OWN)).replace("\n", end).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(text) if "gz" in name.lower() else text)
    assert pairs(path) == WANTED


def test_a_packed_file_that_ends_early_is_named(tmp_path: Path):
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(lines(OWN).encode())[:-20])
    with pytest.raises(reading.DataError, match="can't unpack"):
        reading.read_cases(tmp_path / "x.jsonl.gz")


def test_a_line_separator_inside_a_fact_ends_no_line(tmp_path: Path):
    row = {"fact": "甲\u2028乙\x85丙", "charges": ["盗窃"]}
    assert pairs(write(tmp_path / "x.jsonl", lines([row]))) == [("甲\u2028乙\x85丙", ["盗窃"])]


@pytest.mark.parametrize(
    ("label", "names"),
    [
        ("盗窃;诈骗", ["盗窃", "诈骗"]),
        ("盗窃罪；诈骗罪。", ["盗窃", "诈骗"]),
        ("盗窃|诈骗", ["盗窃", "诈骗"]),
        ("盗窃,诈骗", ["盗窃", "诈骗"]),
        ("盗窃、诈骗", ["盗窃", "诈骗"]),
        ("['盗窃', '诈骗']", ["盗窃", "诈骗"]),
        ("[走私、贩卖、运输、制造]毒品", ["走私、贩卖、运输、制造毒品"]),
        ("走私、贩卖、运输、制造毒品;盗窃", ["走私、贩卖、运输、制造毒品", "盗窃"]),
        ("盗窃;盗窃", ["盗窃"]),
        ("", []),
    ],
)
def test_a_label_of_a_table_holds_one_charge_or_several(label: str, names: list[str], tmp_path: Path):
    text = io.StringIO()
    csv.writer(text).writerows([["id", "text", "label"], ["1", "甲", label]])
    assert pairs(write(tmp_path / "x.csv", text.getvalue())) == [("甲", names)]


@pytest.mark.parametrize(
    "text", ["ID,Text,Label\n1,甲,盗窃\n", "id;text;label\n1;甲;盗窃\n", "id\ttext\tlabel\n1\t甲\t盗窃\n"]
)
def test_a_table_is_read_whatever_its_separator_and_capitals(text: str, tmp_path: Path):
    assert pairs(write(tmp_path / "x.csv", text, "utf-8-sig")) == [("甲", ["盗窃"])]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"question": "x", "answer": "法条:刑法第264条"}, "articles of law .*3-1"),
        ({"question": "x", "answer": "根据《中华人民共和国刑法》第二百六十四条"}, "articles of law .*3-1"),
        ({"question": "x", "answer": "刑期:12个月"}, "a sentence .*3-4"),
        ({"fact": "甲\ud83d", "charges": ["盗窃"]}, 'surrogate pair in "fact"'),
        ({"fact": "甲", "charges": ["盗\ud83d"]}, 'surrogate pair in "charges"'),
        ({"id": "\ud83d", "fact": "甲", "charges": ["盗窃"]}, 'surrogate pair in "id"'),
        ({"fact": "甲", "meta": {"accusation": [264]}}, '"charges" is not a list'),
        ([1], "not a JSON object"),
    ],
)
def test_a_row_of_another_kind_is_named_with_its_line(row: object, reason: str, tmp_path: Path):
    text = lines([OWN[0]]) + json.dumps(row) + "\n"
    with pytest.raises(reading.DataError, match=f"line 2: .*{reason}"):
        reading.read_cases(write(tmp_path / "x.jsonl", text))


def test_one_fault_of_all_rows_is_said_once(tmp_path: Path):
    path = write(tmp_path / "3-1.json", json.dumps([{"question": "x", "answer": "法条:刑法第264条"}] * 200))
    with pytest.raises(reading.DataError) as caught:
        reading.read_cases(path)
    assert str(caught.value).count("articles of law") == 1
    assert "(200 times)" in str(caught.value)


def test_cail_s_folder_is_read_by_its_own_names(tmp_path: Path):
    for name in ("data_train", "data_test", "data_valid"):
        write(tmp_path / f"{name}.json", lines(CAIL))
    found, labels, _ = reading.read_folder(tmp_path)
    assert {role: len(cases) for role, cases in found.items()} == {"train": 3, "test": 3, "dev": 3}
    assert len(labels) == 191


def test_traditional_characters_are_refused_with_what_converts_them(tmp_path: Path):
    path = write(tmp_path / "x.jsonl", lines([{"fact": fact, "charges": ["盜竊"]} for fact in FACTS]))
    with pytest.raises(reading.DataError, match=r"no train row can be used: 3 rows .*盜竊 .*opencc"):
        data.import_cases(path, tmp_path)


def test_cases_of_two_files_with_one_id_are_two_cases():
    roles = {"train": [{"id": "1"}, {"id": "2"}], "test": [{"id": "1"}]}
    data.own_ids(roles)
    assert roles == {"train": [{"id": "train-1"}, {"id": "2"}], "test": [{"id": "test-1"}]}


TORN = {
    "expected after": 'id\ttext\tlabel\n1\t"甲\t盗窃\n2\t"乙\t诈骗\n',
    "more values than columns": "id,text,label\n1,甲,盗窃,诈骗\n",
    "two columns are called 'text'": "id,text,text,label\n1,甲,乙,盗窃\n",
}


@pytest.mark.parametrize("reason", TORN)
def test_a_table_that_would_lose_rows_or_charges_is_refused(reason: str, tmp_path: Path):
    with pytest.raises(reading.DataError, match=reason):
        reading.read_cases(write(tmp_path / "x.tsv", TORN[reason]))


def test_a_list_within_one_object_is_told_from_lines(tmp_path: Path):
    with pytest.raises(reading.DataError, match=r"one JSON object .it holds data.: give the list"):
        reading.read_cases(write(tmp_path / "x.json", json.dumps({"data": OWN}, indent=1)))
    with pytest.raises(reading.DataError, match=r"one JSON object .it holds data.: give the list"):
        reading.read_cases(write(tmp_path / "x.json", json.dumps({"data": OWN})))


def test_charges_that_nobody_can_name_are_said_before_an_evaluation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = write(tmp_path / "x.jsonl", lines([{"fact": "甲", "charges": ["自创"]}]))
    (tmp_path / "into/public").mkdir(parents=True)
    write(tmp_path / "into/public/labels.json", json.dumps(["盗窃", "诈骗"]))
    data.evaluation_cases(source, tmp_path / "into")
    assert "1 charges are not in the list: 自创" in capsys.readouterr().err


@pytest.mark.parametrize("answer", ["正确答案：A", "上文涉及到的犯罪金额:4000.0元。", "类别:婚姻家庭"])
def test_another_sub_task_is_never_evaluated_as_wrong_charges(answer: str, tmp_path: Path):
    (tmp_path / "into" / "public").mkdir(parents=True)
    (tmp_path / "into" / "public" / "labels.json").write_text('["盗窃", "诈骗"]', encoding="utf-8")
    rows = [{"instruction": "i", "question": f"甲{number}", "answer": answer} for number in range(9)]
    with pytest.raises(reading.DataError, match=r"no case has a charge of the list .*another sub-task"):
        data.evaluation_cases(write(tmp_path / "x.json", json.dumps(rows)), tmp_path / "into")


def test_a_charge_of_the_user_s_own_list_is_whole_whatever_it_holds(tmp_path: Path):
    own = ["theft/robbery", "甲|乙", "丙"]
    write(tmp_path / "labels.json", json.dumps(own))
    rows = [{"fact": "a", "charges": own[0]}, {"fact": "b", "charges": "丙,甲|乙"}]
    write(tmp_path / "train.jsonl", lines(rows))
    roles, labels, _ = reading.read_folder(tmp_path)
    assert [case["charges"] for case in roles["train"]] == [["theft/robbery"], ["丙", "甲|乙"]]
    assert set(labels) == set(own)


def test_the_line_with_a_broken_byte_and_why_a_line_is_no_json_are_said(tmp_path: Path):
    broken = lines(OWN).encode() + b'{"fact": "\xe7", "charges": []}\n'
    (tmp_path / "x.jsonl").write_bytes(broken)
    with pytest.raises(reading.DataError, match=f"no UTF-8 stands in line {len(OWN) + 1}"):
        reading.read_cases(tmp_path / "x.jsonl")
    with pytest.raises(reading.DataError, match="line 1 is not JSON: Extra data"):
        reading.read_cases(write(tmp_path / "x.jsonl", lines(OWN).replace("\n", ",\n")))


@pytest.mark.parametrize(
    "listed", [{"盗窃": 0, "诈骗": 1}, {"0": "盗窃", "1": "诈骗"}, {"classes": ["盗窃", "诈骗罪", ""]}]
)
def test_a_list_of_charges_may_be_an_object_with_their_numbers(listed: dict, tmp_path: Path):
    write(tmp_path / "labels.json", json.dumps(listed))
    write(tmp_path / "train.jsonl", lines(OWN))
    write(tmp_path / "accu.txt", "盗窃\n")
    _, labels, left = reading.read_folder(tmp_path)
    assert sorted(labels) == sorted(["盗窃", "诈骗"])
    assert left == ["accu.txt: left out: charges are listed in labels.json"]


@pytest.mark.parametrize("listed", [{"盗窃": "theft"}, {"a": ["盗窃"], "b": ["诈骗"]}, {"盗窃": 0.5}])
def test_an_object_that_does_not_say_what_the_charges_are_is_refused(listed: dict, tmp_path: Path):
    write(tmp_path / "labels.json", json.dumps(listed))
    write(tmp_path / "train.jsonl", lines(OWN))
    with pytest.raises(reading.DataError, match="must be a JSON list of charges"):
        reading.read_folder(tmp_path)


def test_a_charge_that_no_answer_could_name_is_refused(tmp_path: Path):
    write(tmp_path / "labels.json", json.dumps(["盗窃", "甲；乙"]))
    write(tmp_path / "train.jsonl", lines(OWN))
    with pytest.raises(reading.DataError, match="'甲;乙' holds a semicolon, which separates charges"):
        reading.read_folder(tmp_path)

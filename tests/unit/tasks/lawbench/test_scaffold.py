"""LawBench's seed harness: retrieval that does not look at a case's own charge, what the model is asked, and
what is made of every kind of reply."""

import json
import subprocess
import sys

import numpy as np
import pytest

from shared.harness.actions import check_action
from shared.harness.bundle import load_harness
from shared.store.store import read_folder
from shared.tasks.task import load_task
from tests.unit.tasks.lawbench import parts as lawbench
from tests.unit.tasks.lawbench.parts import FOLDER, lines

HARNESS = load_harness(read_folder(FOLDER / "harness"))
LIMITS = load_task("lawbench").manifest.attempt
scaffold = lawbench.load("harness/scaffold.py")
INDEX = scaffold.prepare(FOLDER / "public", HARNESS.values)
CASE = lines(FOLDER / "data" / "test.jsonl")[0]
FULL = {"style": "full"}


def a_step(*replies, knobs=None, instance=CASE):
    context = {"prompts": HARNESS.prompts, "limits": LIMITS.model_dump(), "seed": 3, "prepared": INDEX}
    values = {**HARNESS.values, **(knobs or {})}
    history = [{"action": {}, "replies": [reply] if isinstance(reply, str) else reply} for reply in replies]
    action = scaffold.step({"id": instance["id"], "fact": instance["fact"]}, history, values, context)
    return check_action(action, LIMITS, sum(len(turn["replies"]) for turn in history))


SEEN = scaffold.look(CASE, HARNESS.values, INDEX)


def reply_with(letter):
    return json.dumps({"charge": letter})


def test_the_seed_asks_for_one_of_eight_letters_and_shows_no_charge_by_name():
    (request,) = a_step()["ask"]
    assert request["schema"]["properties"] == {"charge": {"enum": list("ABCDEFGH")}}
    candidates, *votes = request["messages"][0]["content"].splitlines()
    assert candidates == "from:A,B,C,D,E,F,G,H"
    assert [vote.split(":")[0] for vote in votes] == scaffold.RETRIEVERS
    assert {vote.split(":")[1] for vote in votes} <= {*"ABCDEFGH", scaffold.NONE}


def test_a_letter_becomes_the_charge_it_stands_for():
    assert a_step(reply_with("B"))["answer"] == {"content": SEEN["labels"][1], "samples": [0]}


def test_a_retriever_votes_for_the_candidate_that_it_puts_first():
    first = scaffold.evidence(CASE, INDEX).argmax(axis=1)
    for label, letter in zip(first, SEEN["votes"], strict=True):
        name = INDEX["labels"][label]
        assert letter == ("ABCDEFGH"[SEEN["labels"].index(name)] if name in SEEN["labels"] else scaffold.NONE)


def test_the_right_charge_is_on_the_list_of_most_unseen_cases():
    cases = lines(FOLDER / "data" / "test.jsonl")
    found = [case["charges"][0] in scaffold.look(case, HARNESS.values, INDEX)["labels"] for case in cases]
    assert np.mean(found) >= 0.9


def test_a_labelled_case_is_looked_at_as_if_it_were_not_there():
    cases = lines(FOLDER / "public" / "cases.jsonl")
    labels = INDEX["labels"]
    words = [json.loads((FOLDER / "public" / "glossary.json").read_text())[label] for label in labels]
    own, rest = cases[3], cases[:3] + cases[4:]
    without = scaffold.evidence(own, {**scaffold.fit(labels, words, rest), "rows": {}})
    within = scaffold.evidence(own, INDEX)
    right = labels.index(own["charges"][0])
    # The vocabulary (and so every weight) differs a little between the two, by one case in forty.
    assert within[:, right] == pytest.approx(without[:, right], abs=0.08)
    known = scaffold.evidence(own, {**INDEX, "rows": {}})
    assert known[2, right] > 0.99  # were it allowed, the nearest case would be the case itself


def test_votes_decide_and_the_winner_s_replies_are_named():
    answer = a_step([reply_with("B"), reply_with("A"), reply_with("A")], knobs={"votes": 3})["answer"]
    assert answer == {"content": SEEN["labels"][0], "samples": [1, 2]}


@pytest.mark.parametrize("reply", ["", "我无法协助判断罪名。", "{", "外星入侵", '{"charge": "Z"}'])
def test_a_reply_that_names_no_charge_becomes_an_answer_that_the_verifier_refuses(reply):
    answer = a_step(reply)["answer"]
    assert answer["content"] == (reply or "-")


def test_a_reply_that_names_no_charge_is_asked_again_as_often_as_the_knob_says():
    (request,) = a_step("我不知道", knobs={**FULL, "retries": 1})["ask"]
    assert "不是列表中的罪名" in request["messages"][-1]["content"]
    assert a_step("我不知道", "盗窃罪", knobs={**FULL, "retries": 1})["answer"]["content"] == "盗窃"
    assert a_step("我不知道", "还是不知道", knobs={**FULL, "retries": 1})["answer"]["content"] == "还是不知道"


@pytest.mark.parametrize(
    ("reply", "content"),
    [
        ('{"charge": "合同诈骗"}', "合同诈骗"),
        ("根据事实，被告人的行为构成【信用卡诈骗】罪，而不是其他。", "信用卡诈骗"),
        ("走私、 贩卖、运输、制造毒品罪", "走私、贩卖、运输、制造毒品"),
    ],
)
def test_a_charge_is_found_in_prose_and_the_longer_name_wins(reply, content):
    assert a_step(reply, knobs=FULL)["answer"]["content"] == content


def test_as_many_charges_as_the_knob_allows():
    reply = '{"charge": ["盗窃", "抢劫", "诈骗"]}'
    assert a_step(reply, knobs={**FULL, "most_charges": 2})["answer"]["content"] == "抢劫;盗窃"
    (request,) = a_step(knobs={**FULL, "most_charges": 2})["ask"]
    assert request["schema"]["properties"]["charge"]["maxItems"] == 2


@pytest.mark.parametrize("part", ["start", "ends", "evidence"])
def test_facts_of_twenty_thousand_characters_are_shortened_for_the_prompt(part):
    long = {"id": "long", "fact": ("被告人在仓库盗窃电缆。" + "无关文字，" * 20) * 200}
    knobs = {**FULL, "fact_part": part, "fact_chars": 600, "label_list": "shortlist"}
    (request,) = a_step(knobs=knobs, instance=long)["ask"]
    assert 500 < len(request["messages"][1]["content"]) < 1100


def test_the_full_style_lists_charges_and_similar_cases_but_never_the_case_itself():
    own = lines(FOLDER / "public" / "cases.jsonl")[0]
    (request,) = a_step(knobs={**FULL, "cases": 3}, instance=own)["ask"]
    text = request["messages"][1]["content"]
    assert text.count(" => ") == 3
    assert text.count(own["fact"][:60]) == 1  # as the question, not as an example
    assert "[虐待被监管人]" in text


@pytest.mark.slow
def test_the_seed_corpus_shows_the_form_alone_and_its_answers_fit_the_schema():
    command = [sys.executable, str(FOLDER / "seed_corpus.py"), "300", "1"]
    rows = [json.loads(row) for row in subprocess.check_output(command, text=True).splitlines()]
    for row in rows:
        letters = row["messages"][0]["content"].splitlines()[0].removeprefix("from:").split(",")
        assert json.loads(row["answer"])["charge"] in letters
    answers = [json.loads(row["answer"])["charge"] for row in rows]
    assert max(answers.count(letter) for letter in "ABC") < 100  # of 300; no place is preferred beyond chance


KNOWN = lines(FOLDER / "public" / "cases.jsonl")[3]


def demonstrated(answer, **knobs):
    context = {"prompts": HARNESS.prompts, "limits": LIMITS.model_dump(), "prepared": INDEX}
    return scaffold.demonstrate(KNOWN, answer, {**HARNESS.values, **knobs}, context)


@pytest.mark.parametrize("knobs", [{}, FULL, {**FULL, "label_list": "shortlist"}, {"most_charges": 2}])
def test_a_demonstration_is_the_seeds_own_request_with_the_reply_that_answers_right(knobs):
    (shown,) = demonstrated(KNOWN["charges"][0], **knobs)
    (request,) = a_step(instance=KNOWN, knobs=knobs)["ask"]
    assert shown["messages"] == request["messages"]
    answer = a_step(shown["reply"], instance=KNOWN, knobs=knobs)["answer"]["content"]
    assert answer == KNOWN["charges"][0]
    assert " " not in shown["reply"]


def test_of_several_charges_as_many_are_taught_as_the_knob_allows():
    both = f"{KNOWN['charges'][0]};{next(name for name in SEEN['labels'] if name != KNOWN['charges'][0])}"
    (shown,) = demonstrated(both, **FULL, most_charges=2)
    assert json.loads(shown["reply"]) == {"charge": both.split(";")}
    (shown,) = demonstrated(both, **FULL)
    assert json.loads(shown["reply"]) == {"charge": KNOWN["charges"][0]}


def test_a_charge_that_is_not_offered_is_not_taught():
    assert demonstrated("外星入侵") == []

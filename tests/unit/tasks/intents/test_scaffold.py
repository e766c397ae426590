"""The intents harness and verifier: retrieval that never looks at a query's own label, what the model is
asked, what is made of its replies, and which right answers may be taught."""

import json

import numpy as np
import pytest

from shared.harness.actions import check_action
from shared.harness.bundle import load_harness
from shared.store.store import read_folder
from shared.tasks.task import load_task
from tests.unit.tasks.intents import parts as intents
from tests.unit.tasks.intents.parts import FOLDER, lines

HARNESS = load_harness(read_folder(FOLDER / "harness"))
LIMITS = load_task("intents").manifest.attempt
scaffold = intents.load("harness/scaffold.py")
verifier = intents.load("verifier.py")
INDEX = scaffold.prepare(FOLDER / "public", HARNESS.values)
QUERY = lines(FOLDER / "data" / "test.jsonl")[0]
KNOWN = lines(FOLDER / "public" / "cases.jsonl")[3]


def a_step(*replies, instance=QUERY, **knobs):
    context = {"prompts": HARNESS.prompts, "limits": LIMITS.model_dump(), "seed": 3, "prepared": INDEX}
    history = [{"action": {}, "replies": list(replies)}] if replies else []
    values = {**HARNESS.values, **knobs}
    action = scaffold.step({"id": instance["id"], "text": instance["text"]}, history, values, context)
    return check_action(action, LIMITS, len(replies))


def reply_with(label):
    return json.dumps({"label": label})


def asked(**knobs):
    (request,) = a_step(**knobs)["ask"]
    return request


def test_the_model_chooses_from_the_likeliest_labels_and_is_held_to_them():
    request = asked(shortlist=5)
    names = request["schema"]["properties"]["label"]["enum"]
    likeliest, _ = scaffold.look(QUERY["text"], HARNESS.values, INDEX)
    assert names == sorted(likeliest[:5])
    assert f"Labels: {', '.join(names)}\n" in request["messages"][1]["content"]
    assert "schema" not in asked(constrained=False)


def test_labels_stand_in_the_order_that_the_knob_says():
    likeliest, _ = scaffold.look(QUERY["text"], HARNESS.values, INDEX)
    assert asked(order="likeliest")["schema"]["properties"]["label"]["enum"] == likeliest[:10]


def test_the_most_similar_example_stands_last():
    _, cases = scaffold.look(QUERY["text"], HARNESS.values, INDEX)
    text = asked(shots=3)["messages"][1]["content"]
    places = [text.index(f"Query: {case['text']}\n{scaffold.reply_of(case['label'])}") for case in cases[:3]]
    assert places == sorted(places, reverse=True)


@pytest.mark.parametrize("retriever", ["nearest", "classifier"])
def test_a_labelled_case_is_looked_at_as_if_it_were_not_there(retriever):
    knobs = {**HARNESS.values, "retriever": retriever}
    _, cases = scaffold.look(KNOWN["text"], knobs, INDEX)
    assert KNOWN["text"] not in [case["text"] for case in cases]
    labelled = lines(FOLDER / "public" / "cases.jsonl")
    firsts = [scaffold.look(case["text"], knobs, INDEX)[0][0] == case["label"] for case in labelled]
    assert np.mean(firsts) < 0.75  # a look at the label itself would make it 1.0
    seen = {**INDEX, "rows": {}}
    firsts = [scaffold.look(case["text"], knobs, seen)[0][0] == case["label"] for case in labelled]
    assert np.mean(firsts) > 0.9


def test_the_right_label_is_on_the_list_of_most_unseen_queries():
    found = []
    for query in lines(FOLDER / "data" / "test.jsonl"):
        names, _ = scaffold.shortlist(query["text"], HARNESS.values, INDEX)
        found.append(query["label"] in names)
    assert np.mean(found) > 0.85


def test_votes_decide_and_the_winners_replies_are_named():
    first, second = asked()["schema"]["properties"]["label"]["enum"][:2]
    answer = a_step(reply_with(second), reply_with(first), reply_with(first), votes=3)["answer"]
    assert answer == {"content": first, "samples": [1, 2]}


@pytest.mark.parametrize("reply", ["", "I can't help with that.", "{", '{"label": "unheard_of"}'])
def test_a_reply_without_a_label_becomes_an_answer_that_the_verifier_refuses(reply):
    content = a_step(reply)["answer"]["content"]
    scored = verifier.score({"id": QUERY["id"]}, content)
    assert (scored["outcome"], scored["score"]) == ("refused", 0.0)


def test_a_label_is_found_in_prose():
    name = asked()["schema"]["properties"]["label"]["enum"][4]
    assert a_step(f"The label is {name}, I think.")["answer"]["content"] == name


def test_the_right_label_scores_one_another_zero_and_no_detail_tells_the_right_one():
    assert verifier.score(QUERY, f" {QUERY['label']}\n")["score"] == 1.0
    other = next(name for name in INDEX["labels"] if name != QUERY["label"])
    scored = verifier.score(QUERY, other)
    assert (scored["outcome"], scored["score"]) == ("wrong", 0.0)
    assert QUERY["label"] not in scored["detail"]


def test_instances_carry_no_label_and_a_draw_repeats_with_its_seed():
    drawn = verifier.draw("gate", 10, 1)
    assert all(set(instance) == {"id", "text"} for instance in drawn)
    assert verifier.draw("gate", 10, 1) == drawn != verifier.draw("gate", 10, 2)
    assert len(verifier.draw("gate", 10_000, 1)) == len(lines(FOLDER / "data" / "gate.jsonl"))


def test_right_answers_are_told_of_train_queries_alone():
    assert verifier.answers({"id": KNOWN["id"]}) == [KNOWN["label"]]
    held_back = [*verifier.draw("gate", 1000, 1), *verifier.draw("test", 1000, 1), {"id": "strange"}]
    assert [verifier.answers(instance) for instance in held_back] == [[]] * len(held_back)


def test_a_posted_right_label_makes_a_train_query_unless_a_split_holds_its_text():
    label = KNOWN["label"]
    posted = {"instance": {"text": "Where did my pink card go?"}, "right": f" {label} "}
    made = verifier.from_feedback(posted)
    assert made == {"text": "Where did my pink card go?", "_label": label}
    instance = {"id": "posted-1", **made}
    assert (verifier.check_instance(instance), verifier.answers(instance)) == ("", [label])
    assert verifier.score(instance, label)["score"] == 1.0
    assert "right label" in verifier.from_feedback(posted | {"right": "no such label"})
    for split in ("gate", "test"):
        text = verifier.draw(split, 1, 1)[0]["text"].upper()
        assert "already" in verifier.from_feedback({"instance": {"text": f" {text} !? "}, "right": label})


def test_a_demonstration_is_the_scaffolds_own_request_with_the_right_reply():
    context = {"prompts": HARNESS.prompts, "prepared": INDEX}
    knobs = {**HARNESS.values, "shortlist": 20, "shots": 1}
    (shown,) = scaffold.demonstrate(KNOWN, KNOWN["label"], knobs, context)
    (request,) = a_step(instance=KNOWN, shortlist=20, shots=1)["ask"]
    assert shown["messages"] == request["messages"]
    assert (
        a_step(shown["reply"], instance=KNOWN, shortlist=20, shots=1)["answer"]["content"] == KNOWN["label"]
    )


def test_a_label_that_is_not_on_the_shortlist_is_not_taught():
    context = {"prompts": HARNESS.prompts, "prepared": INDEX}
    knobs = {**HARNESS.values, "shortlist": 3}
    names, _ = scaffold.shortlist(KNOWN["text"], knobs, INDEX)
    other = next(name for name in INDEX["labels"] if name not in names)
    assert scaffold.demonstrate(KNOWN, other, knobs, context) == []

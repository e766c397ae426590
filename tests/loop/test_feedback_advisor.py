"""An advisor in a whole run of feedback: a language model's edits are data like any others."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.ledger.history import RunHistory
from shared.messages.proposals import Edit, Patch, WeightUpdate
from shared.store.store import get_record
from tests.loop.toy_world import World
from tests.parts.endpoint import Body, Endpoint

GATE = {"screen_instances": 4, "round_instances": 4, "max_pairs": 8, "test_instances": 4}
PIN = {"kind": "set_knob", "path": "pin_shape", "new": "round"}


def answer(*edits: dict[str, Any], **change: Any) -> str:
    answer_text = {
        "report": "squares score low",
        "edits": list(edits),
        "reason": "round replies score higher",
    }
    return json.dumps(answer_text | change)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as running:
        yield running


def run(folder: Path, endpoint: Endpoint, *replies: str) -> tuple[World, RunHistory]:
    """One generation; the advisor gives these replies in turn, the last one for ever."""
    left = list(replies)

    def reply(body: Body) -> str:
        return left.pop(0) if len(left) > 1 else left[0]

    endpoint.answer = reply
    advisor = {"url": endpoint.url, "name": endpoint.base}
    made = World(folder, {"run": {"generations": 1}, "gate": GATE, "advisor": advisor})
    return made, made.run()


def proposed(made: World, history: RunHistory) -> Patch:
    proposal = history.generations[0].harness
    assert proposal is not None
    return get_record(made.store, proposal.digest, Patch)


def test_the_advisors_edits_and_algorithm_are_what_is_proposed(tmp_path: Path, endpoint: Endpoint):
    answer_text = answer(PIN, algorithm="best_of_n", algorithm_reason="few are rewarded")
    made, history = run(
        tmp_path, endpoint, f"I think {{so}}. Here it is:\n```json\n{answer_text}\n```\nIs {{it}} good?"
    )
    patch = proposed(made, history)
    assert [edit.model_dump(exclude_none=True) for edit in patch.edits] == [PIN]
    assert patch.reason == "advisor: round replies score higher"
    weights = history.generations[0].weights
    assert weights is not None
    update = get_record(made.store, weights.digest, WeightUpdate)
    assert (update.algorithm, "few are rewarded" in update.reason) == ("best_of_n", True)
    assert len(endpoint.asked) == 1
    assert history.cost.prompt_tokens == 3  # the endpoint's count for the one question


def test_a_model_may_rewrite_scaffold_code_through_the_same_checks(tmp_path: Path, endpoint: Endpoint):
    rewrite = {"kind": "replace_text", "path": "scaffold.py", "old": "return {}", "new": "return {'ask': []}"}
    made, history = run(tmp_path, endpoint, answer(rewrite))
    assert [edit.path for edit in proposed(made, history).edits] == ["scaffold.py"]


@pytest.mark.parametrize(
    ("bad", "answer_text"),
    [
        (answer({"kind": "set_knob", "path": "alpha", "new": 1}), "no such knob"),
        (answer({"kind": "set_knob", "path": "temperature", "new": 7}), "not in [0, 1]"),
        (answer({"kind": "replace_text", "path": "verifier.py", "old": "a", "new": "b"}), "can be edited"),
        (answer(PIN, budget=0), "Extra inputs"),
        (answer(PIN, algorithm="hope"), "algorithm"),
        (answer(*[PIN] * 7), "edits"),
        ("I would rather not.", "no JSON object"),
        (answer({"kind": "set_knob", "path": "temperature", "new": 10**400}), "is not in [0, 1]"),
    ],
)
def test_an_answer_that_can_not_be_used_is_sent_back_once_with_the_reason(
    tmp_path: Path, endpoint: Endpoint, bad: str, answer_text: str
):
    made, history = run(tmp_path, endpoint, bad, answer(PIN))
    assert proposed(made, history).edits == (Edit(**PIN),)
    assert answer_text in endpoint.asked[1]["messages"][-1]["content"]
    assert history.cost.prompt_tokens == 6  # both questions are paid for


def test_without_a_usable_answer_the_analyst_proposes_and_says_so(tmp_path: Path, endpoint: Endpoint):
    _, history = run(tmp_path, endpoint, "no idea")
    proposal = history.generations[0].harness
    assert proposal is not None
    assert "pin shape to round" in proposal.reason
    assert "the advisor's answer can't be used" in proposal.reason
    assert history.state == "done"


def test_a_run_does_not_hang_on_an_advisor_that_is_away(tmp_path: Path):
    advisor = {"url": "http://127.0.0.1:1/v1", "name": "away"}
    history = World(tmp_path, {"run": {"generations": 1}, "gate": GATE, "advisor": advisor}).run()
    proposal = history.generations[0].harness
    assert proposal is not None
    assert "the advisor can't be asked" in proposal.reason
    assert history.state == "done"


def test_the_advisor_sees_train_attempts_and_nothing_of_gate_or_test(tmp_path: Path, endpoint: Endpoint):
    run(tmp_path, endpoint, answer(PIN))
    [asked] = endpoint.asked
    prompt = json.dumps(asked["messages"])
    assert "train-" in prompt
    assert "gate-" not in prompt
    assert "test-" not in prompt


def test_what_was_tried_is_told_and_not_taken_again(tmp_path: Path, endpoint: Endpoint):
    endpoint.answer = lambda body: answer({"kind": "set_knob", "path": "pin_shape", "new": "square"})
    sections = {"run": {"generations": 3}, "gate": GATE, "training": {"algorithm": "entropic"}}
    made = World(tmp_path, sections | {"advisor": {"url": endpoint.url, "name": endpoint.base}})
    made.gain = lambda harness, adapter: 0.0
    history = made.run()
    second = history.generations[1].harness
    assert second is not None
    assert 'set_knob pin_shape -> \\"square\\"' in json.dumps(endpoint.asked[1]["messages"])
    reasons = [generation.harness.reason for generation in history.generations if generation.harness]
    assert "tried before" in reasons[-1]  # at the second time where it looked no better, else at the third


def test_a_kind_that_a_model_shortened_is_taken_where_it_can_mean_one_alone(
    tmp_path: Path, endpoint: Endpoint
):
    made, history = run(tmp_path, endpoint, answer(PIN | {"kind": "knob"}))
    assert proposed(made, history).edits == (Edit(**PIN),)
    assert len(endpoint.asked) == 1


def test_a_kind_that_could_mean_two_is_sent_back(tmp_path: Path, endpoint: Endpoint):
    made, history = run(tmp_path, endpoint, answer(PIN | {"kind": "exemplar"}), answer(PIN))
    assert proposed(made, history).edits == (Edit(**PIN),)
    assert len(endpoint.asked) == 2

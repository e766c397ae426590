"""An advisor in a whole run of feedback: a language model's answers are data like any others."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratchet.reports.show import show_json
from shared.ledger.history.state import RunHistory
from shared.messages.analysis import Analysis
from shared.messages.proposals import Edit, Patch, WeightUpdate
from shared.store.shards import get_shard
from shared.store.store import get_json, get_record
from tests.loop.toy_world import World
from tests.parts.endpoint import Body, Endpoint, Fault

GATE = {"screen_instances": 4, "round_instances": 4, "max_pairs": 8, "test_instances": 4}
PIN = {"kind": "set_knob", "path": "pin_shape", "new": "round"}
WARM = {"kind": "set_knob", "path": "temperature", "new": 0.9}


def answer(*edits: dict[str, Any], weights: dict[str, Any] | None = None, **change: Any) -> str:
    answer_text = {
        "findings": [{"what": "squares score low", "evidence": "a3, a4"}],
        "harness": {"edits": list(edits), "evidence": "round replies score higher"},
        "weights": weights,
    }
    return json.dumps(answer_text | change)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as running:
        yield running


def run(
    folder: Path, endpoint: Endpoint, *replies: str, drafts: int = 1, **sections: Any
) -> tuple[World, RunHistory]:
    """One generation; the advisor gives these replies in turn, the last one for ever."""
    left = list(replies)

    def reply(body: Body) -> str:
        return left.pop(0) if len(left) > 1 else left[0]

    endpoint.answer = reply
    advisor = {"url": endpoint.url, "name": endpoint.base, "drafts": drafts}
    made = World(folder, {"run": {"generations": 1}, "gate": GATE, "advisor": advisor, **sections})
    return made, made.run()


def proposed(made: World, history: RunHistory) -> Patch:
    proposal = history.generations[0].harness
    assert proposal is not None
    return get_record(made.store, proposal.digest, Patch)


def trained(made: World, history: RunHistory) -> WeightUpdate:
    weights = history.generations[0].weights
    assert weights is not None
    return get_record(made.store, weights.digest, WeightUpdate)


def analysis(made: World, history: RunHistory) -> Analysis:
    return get_record(made.store, history.generations[0].analysis, Analysis)


def test_one_answer_gives_both_proposals_and_is_kept_with_its_text(tmp_path: Path, endpoint: Endpoint):
    weights = {"algorithm": "best_of_n", "steps": 7, "learning_rate": 0.001, "kl_weight": 0.1}
    text = answer(PIN, weights=weights | {"evidence": "few are rewarded"}, notes="pins help")
    whole = f"I think {{so}}. Here it is:\n```json\n{text}\n```\nIs {{it}} good?"
    made, history = run(tmp_path, endpoint, whole)
    patch = proposed(made, history)
    assert [edit.model_dump(exclude_none=True) for edit in patch.edits] == [PIN]
    assert patch.reason == "advisor: round replies score higher"
    update = trained(made, history)
    assert (update.algorithm, update.steps) == ("best_of_n", 7)
    assert (update.learning_rate, update.kl_weight) == (0.001, 0.1)
    assert "few are rewarded" in update.reason
    [draft] = analysis(made, history).drafts
    assert get_json(made.store, draft.reply) == whole
    assert (draft.findings[0].what, draft.notes, draft.dropped) == ("squares score low", "pins help", ())
    assert len(endpoint.asked) == 1
    assert history.cost.prompt_tokens == 3  # the endpoint's count for the one question
    shown = show_json(history, made.store)["generations"][0]["advisor"]
    assert shown["findings"] == [{"what": "squares score low", "evidence": "a3, a4"}]
    assert shown["drafts"] == [{"fault": None, "dropped": []}]


def test_a_model_may_rewrite_scaffold_code_through_the_same_checks(tmp_path: Path, endpoint: Endpoint):
    rewrite = {"kind": "replace_text", "path": "scaffold.py", "old": "return {}", "new": "return {'ask': []}"}
    made, history = run(tmp_path, endpoint, answer(rewrite))
    assert [edit.path for edit in proposed(made, history).edits] == ["scaffold.py"]


def test_bad_edits_are_dropped_alone_and_the_record_has_the_reasons(tmp_path: Path, endpoint: Endpoint):
    bad = {
        "no such knob": {"kind": "set_knob", "path": "alpha", "new": 1},
        "not in [0, 1]": {"kind": "set_knob", "path": "temperature", "new": 7},
        "can be edited": {"kind": "replace_text", "path": "../task.toml", "old": "a", "new": "b"},
        "kind": {"kind": "run", "path": "x"},
    }
    made, history = run(tmp_path, endpoint, answer(*bad.values(), PIN))
    assert proposed(made, history).edits == (Edit(**PIN),)
    dropped = {one.part: one.why for one in analysis(made, history).drafts[0].dropped}
    assert sorted(dropped) == [f"harness.edits.{place}" for place in range(len(bad))]
    assert all(said in dropped[f"harness.edits.{place}"] for place, said in enumerate(bad))


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"steps": 5}, {"learning_rate": 0.5, "kl_weight": 0.6, "algorithm": "hope", "budget": 1}),
        ({"learning_rate": 0.001}, {"steps": 97, "algorithm": "supervised", "leave_out": ["a999"]}),
    ],
)
def test_what_is_out_of_bounds_is_left_to_the_rules_and_the_rest_stands(
    tmp_path: Path, endpoint: Endpoint, good: dict[str, Any], bad: dict[str, Any]
):
    made, history = run(tmp_path, endpoint, answer(PIN, weights=bad | good))
    dropped = analysis(made, history).drafts[0].dropped
    assert {one.part for one in dropped} == {f"weights.{name}" for name in bad}
    update, (name, value) = trained(made, history), next(iter(good.items()))
    assert getattr(update, name) == value
    rules = WeightUpdate(**update.model_dump() | {"steps": 0, "learning_rate": 0.0, "kl_weight": 0.05})
    assert update == rules.model_copy(update=good)
    assert "advisor" not in update.reason


def test_attempts_and_groups_that_are_left_out_are_not_learned_from(tmp_path: Path, endpoint: Endpoint):
    weights = {"leave_out": ["g2", "a1"], "evidence": "their verifier was wrong"}
    made, history = run(tmp_path, endpoint, answer(PIN, weights=weights))
    everything = made.history().generations[0].rollouts[("train", 0)].results
    [whole] = [get_shard(made.store, digest) for digest in everything]
    [kept] = [get_shard(made.store, digest) for digest in trained(made, history).shards]
    second = whole.attempts[2].plan.instance
    assert len(whole.attempts) == 24
    assert kept.attempts == tuple(one for one in whole.attempts[1:] if one.plan.instance != second)


def test_what_the_user_set_is_not_the_advisors_to_change(tmp_path: Path, endpoint: Endpoint):
    weights = {"algorithm": "ppo", "steps": 7, "learning_rate": 0.001}
    training = {"algorithm": "grpo", "steps": 3, "learning_rate": 0.002}
    made, history = run(tmp_path, endpoint, answer(PIN, weights=weights), training=training)
    update = trained(made, history)
    assert (update.algorithm, update.steps, update.learning_rate) == ("grpo", 3, 0.002)
    assert len(analysis(made, history).drafts[0].dropped) == 3


def test_the_rules_stand_in_for_the_lever_that_an_answer_does_not_pull(tmp_path: Path, endpoint: Endpoint):
    made, history = run(tmp_path, endpoint, answer(weights={"algorithm": "ppo", "evidence": "dense"}))
    assert trained(made, history).algorithm == "ppo"
    proposal = history.generations[0].harness
    assert proposal is not None
    assert "pin shape to round" in proposal.reason
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("I would rather not.", "no JSON object"),
        (answer({"kind": "set_knob", "path": "alpha", "new": 1}), "no such knob"),
    ],
)
def test_an_answer_of_which_nothing_stands_is_sent_back_once_with_the_reason(
    tmp_path: Path, endpoint: Endpoint, bad: str, said: str
):
    made, history = run(tmp_path, endpoint, bad, answer(PIN))
    assert proposed(made, history).edits == (Edit(**PIN),)
    assert said in endpoint.asked[1]["messages"][-1]["content"]
    assert history.cost.prompt_tokens == 6  # both questions are paid for
    assert len(analysis(made, history).drafts) == 2


def test_without_a_usable_answer_the_analyst_proposes_and_says_so(tmp_path: Path, endpoint: Endpoint):
    _, history = run(tmp_path, endpoint, "no idea")
    proposal = history.generations[0].harness
    assert proposal is not None
    assert "pin shape to round" in proposal.reason
    assert "the advisor's answer can't be used" in proposal.reason
    assert history.state == "done"


def test_an_advisor_that_can_not_read_the_schema_is_asked_in_words(tmp_path: Path, endpoint: Endpoint):
    unread = b'{"error": {"message": "Invalid schema for response_format: \'anyOf\' is not permitted"}}'
    endpoint.faults = [Fault(400, unread)]
    made, history = run(tmp_path, endpoint, answer(PIN))
    assert proposed(made, history).reason.startswith("advisor")
    assert ["response_format" in body for body in endpoint.asked] == [True, False]


def test_a_run_does_not_hang_on_an_advisor_that_is_away(tmp_path: Path):
    advisor = {"url": "http://127.0.0.1:1/v1", "name": "away"}
    history = World(tmp_path, {"run": {"generations": 1}, "gate": GATE, "advisor": advisor}).run()
    proposal = history.generations[0].harness
    assert proposal is not None
    assert "the advisor can't be asked" in proposal.reason
    assert history.state == "done"


def test_the_advisor_sees_train_attempts_and_nothing_of_gate_or_test(tmp_path: Path, endpoint: Endpoint):
    endpoint.answer = lambda body: answer(PIN)
    advisor = {"url": endpoint.url, "name": endpoint.base, "drafts": 1}
    World(tmp_path, {"run": {"generations": 3}, "gate": GATE, "advisor": advisor}).run()
    assert len(endpoint.asked) >= 3
    prompts = json.dumps([asked["messages"] for asked in endpoint.asked])
    assert "train-" in prompts
    assert "gate-" not in prompts
    assert "test-" not in prompts


def test_it_is_told_what_each_lever_brought_and_its_own_notes(tmp_path: Path, endpoint: Endpoint):
    endpoint.answer = lambda body: answer(WARM, notes="warmth brings nothing")
    advisor = {"url": endpoint.url, "name": endpoint.base, "drafts": 1}
    World(tmp_path, {"run": {"generations": 2}, "gate": GATE, "advisor": advisor}).run()
    first, second = (asked["messages"][1]["content"] for asked in endpoint.asked[:2])
    assert "This is the first generation." in first
    assert "- generation 1: " in second
    assert "; weights +0." in second
    assert "in the screen" in second
    assert "warmth brings nothing" in second


def test_a_draft_that_was_answered_is_used_although_one_beside_it_was_not(tmp_path: Path, endpoint: Endpoint):
    endpoint.faults = [Fault(429, headers={"Retry-After": "20"})]  # longer than a quick retry waits
    made, history = run(tmp_path, endpoint, answer(PIN), drafts=2)
    assert proposed(made, history).edits == (Edit(**PIN),)
    assert history.cost.prompt_tokens == 3


def test_the_best_of_several_drafts_goes_first_and_all_are_kept(tmp_path: Path, endpoint: Endpoint):
    made, history = run(tmp_path, endpoint, answer(WARM), "no idea", answer(PIN), drafts=3)
    assert proposed(made, history).edits == (Edit(**PIN),)  # the evidence of the replies speaks for it
    kept = analysis(made, history).drafts
    assert len(kept) == 3
    assert [bool(draft.patch) for draft in kept] == [True, True, False]


def test_what_trials_of_the_knobs_suggest_is_told_and_orders_the_drafts(tmp_path: Path, endpoint: Endpoint):
    cold = {"kind": "set_knob", "path": "temperature", "new": 0.0}
    hot = cold | {"new": 1.0}
    left = [answer(cold), answer(hot)]
    endpoint.answer = lambda body: left.pop(0)
    advisor = {"url": endpoint.url, "name": endpoint.base, "drafts": 2}
    sections = {"run": {"generations": 1}, "gate": GATE, "advisor": advisor, "rollouts": {"design": 48}}
    made = World(tmp_path, sections)
    made.surface = lambda knobs: 0.2 * knobs["temperature"]
    history = made.run()
    prompt = endpoint.asked[0]["messages"][1]["content"]
    assert "attempts with other settings on train instances suggest" in prompt
    assert '- {"temperature": 1.0}: +0.' in prompt
    assert '- {"temperature": 0.0}: -0.' in prompt
    assert proposed(made, history).edits == (Edit(**hot),)


def test_the_weight_update_is_that_on_which_most_drafts_agree(tmp_path: Path, endpoint: Endpoint):
    drafts = [answer(WARM, weights={"algorithm": name}) for name in ("ppo", "best_of_n", "best_of_n")]
    made, history = run(tmp_path, endpoint, *drafts, drafts=3)
    assert trained(made, history).algorithm == "best_of_n"


def test_drafts_are_as_many_as_the_budget_can_afford(tmp_path: Path, endpoint: Endpoint):
    made, history = run(tmp_path, endpoint, answer(PIN), drafts=3, budget={"tokens": 40_000})
    assert len(endpoint.asked) == 1
    assert proposed(made, history).edits == (Edit(**PIN),)


def test_what_was_tried_is_told_and_not_taken_again(tmp_path: Path, endpoint: Endpoint):
    endpoint.answer = lambda body: answer({"kind": "set_knob", "path": "pin_shape", "new": "square"})
    sections = {"run": {"generations": 3}, "gate": GATE, "training": {"algorithm": "entropic"}}
    made = World(tmp_path, sections | {"advisor": {"url": endpoint.url, "name": endpoint.base, "drafts": 1}})
    made.gain = lambda harness, adapter: 0.0
    history = made.run()
    second = history.generations[1].harness
    assert second is not None
    assert 'set_knob pin_shape -> \\"square\\"' in json.dumps(endpoint.asked[1]["messages"])
    reasons = [generation.harness.reason for generation in history.generations if generation.harness]
    assert "tried before" in reasons[-1]  # at the second time where it looked no better, else at the third


def test_where_weights_alone_are_trained_the_advisor_is_asked_and_paid_for_there(
    tmp_path: Path, endpoint: Endpoint
):
    sections = {"run": {"generations": 1, "levers": "weights"}}
    made, history = run(tmp_path, endpoint, answer(PIN, weights={"algorithm": "ppo"}), **sections)
    assert trained(made, history).algorithm == "ppo"
    assert history.cost.prompt_tokens == 3
    assert analysis(made, history).drafts[0].learning is not None

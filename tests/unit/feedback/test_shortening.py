"""Patches that only drop prompt text: what they drop, in which order, and what they never propose."""

import json

from feedback_service.propose.moves import edit_key
from feedback_service.propose.shortening import prompt_texts, propose_shorter
from shared.harness.bundle import apply_patch, bundle_digest, load_harness
from shared.messages.proposals import Patch
from tests.unit.feedback.attempts import attempt, shard

KNOBS = """
[knobs.temperature]
kind = "float"
low = 0.0
high = 1.0
value = 0.5

[knobs.shots]
kind = "choice"
choices = [0, 1, 3]
value = 3

[knobs.exemplars]
kind = "int"
low = 0
high = 8
value = 2
"""
LONG = "Answer with one label alone. Say nothing of how you came to it, and nothing else either."
LONGER = (
    "Cards that were swallowed belong to the label card, and those that were lost belong to the label loss."
)
USER = (
    f"{LONG}\n\n{LONGER}\n\nLabels, of which one is right, as they stand in the list of this bank: {{labels}}"
)


def files(knobs: str, user: str = USER, exemplars: list[str] | None = None) -> dict[str, bytes]:
    found = {"harness.toml": knobs, "scaffold.py": "def step(i, h, k, c):\n    return {}\n"}
    found |= {"prompts/user.md": user} | ({"exemplars.json": json.dumps(exemplars)} if exemplars else {})
    return {name: text.encode() for name, text in found.items()}


def proposed(bundle: dict[str, bytes], closed: list[Patch] | None = None, asked: str = USER) -> Patch | None:
    keys = [frozenset(map(edit_key, patch.edits)) for patch in closed or []]
    patch = propose_shorter(bundle_digest(bundle), bundle, [asked], keys)
    if patch is not None:
        assert patch.claim == "no_worse"
        apply_patch(bundle, patch)  # whatever is proposed can be applied
    return patch


def test_all_examples_are_dropped_at_once_and_no_other_knob_is_moved() -> None:
    patch = proposed(files(KNOBS))
    assert patch is not None
    assert {edit.path: edit.new for edit in patch.edits} == {"shots": 0, "exemplars": 0}


def test_exemplars_that_no_knob_counts_are_dropped_from_their_file() -> None:
    bundle = files("", exemplars=["a", "b"])
    patch = proposed(bundle)
    assert patch is not None
    assert load_harness(apply_patch(bundle, patch)).exemplars == []


def test_then_paragraphs_go_one_at_a_time_the_longest_first_but_none_that_the_scaffold_fills() -> None:
    bundle = files(KNOBS)
    taken: list[Patch] = []
    while patch := proposed(bundle, taken):
        taken.append(patch)
    assert [patch.edits[0].old for patch in taken[1:]] == [LONGER, LONG]


def test_text_that_no_prompt_holds_is_left_as_it_costs_nothing() -> None:
    patch = proposed(files(""), asked=LONG)
    assert patch is not None
    assert patch.edits[0].old == LONG


def test_a_prompt_is_never_emptied() -> None:
    assert proposed(files("", user=LONG)) is None


def test_prompts_are_read_from_what_the_attempts_asked() -> None:
    one = attempt("i", 0.5)
    asked = {"ask": [{"messages": [{"role": "system", "content": LONG}], "n": 1}]}
    turn = one.turns[0].model_copy(update={"action": asked})
    assert prompt_texts([shard([one.model_copy(update={"turns": (turn,)})])]) == {LONG}


def test_a_patch_that_claims_a_gain_is_stored_as_older_versions_did() -> None:
    assert "claim" not in Patch(base="b", edits=(), reason="r").model_dump(mode="json")

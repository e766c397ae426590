"""Two hundred stored answers of advisors that are broken, unwilling or hostile: none raises, and what is
taken from one is within its bounds. tests/loop/test_hostile_advisor.py sends them all through runs.
"""

import json
from pathlib import Path

import pytest

from feedback_service.propose.advisor.answer import MOST_STEPS, RATES
from feedback_service.propose.advisor.learning import learning_of
from feedback_service.propose.advisor.patching import patch_of
from feedback_service.propose.advisor.reading import read, too_deep
from feedback_service.propose.memory import Memory
from shared.config.settings import TrainingSection
from shared.harness.bundle import apply_patch, bundle_digest, load_harness
from shared.messages.analysis import Draft, Finding
from shared.model.replies.reading import parse_completion
from shared.store.store import LocalStore, get_record, put_json
from tests.loop.toy_world import KNOBS
from tests.parts.hostile_answers import TEXT, body_of, read_cases, written
from tests.unit.feedback.attempts import attempt, shard

CASES = read_cases()
FILES = {
    "harness.toml": KNOBS.encode(),
    "scaffold.py": b"def step(instance, history, knobs, context):\n    return {}\n",
    "prompts/user.md": b"Answer.\n",
    "exemplars.json": b"[]\n",
}
BASE = bundle_digest(FILES)
PIN = {"kind": "set_knob", "path": "pin_shape", "new": "round"}
STATES = [shard([attempt(f"i{n % 3}", 0.1 * n) for n in range(9)])]


def test_the_file_is_what_the_program_writes_and_holds_two_hundred_different_answers() -> None:
    assert written() == CASES
    assert len({json.dumps(case) for case in CASES}) == len(CASES) >= 200
    assert len({case["kind"] for case in CASES}) >= 25


@pytest.mark.parametrize("case", CASES, ids=[f"{n}-{case['kind']}" for n, case in enumerate(CASES)])
def test_nothing_in_an_answer_raises_or_leaves_its_bounds(case: dict, tmp_path: Path) -> None:  # type: ignore[type-arg]
    parsed = parse_completion(body_of(case))
    text = parsed[0].text if isinstance(parsed, tuple) else ""
    found = read(text)
    patch = patch_of(found, BASE, FILES, Memory((), ()), 4)
    learning = learning_of(found, TrainingSection(), STATES, offers_answers=False)
    if patch is not None:
        changed = apply_patch(FILES, patch)
        assert set(changed) == set(FILES)
        assert load_harness(changed).knobs.keys() == load_harness(FILES).knobs.keys()
        assert len(patch.edits) <= 4
    if learning is not None:
        assert learning.steps is None or 1 <= learning.steps <= MOST_STEPS
        assert learning.learning_rate is None or RATES[0] <= learning.learning_rate <= RATES[1]
        assert learning.kl_weight is None or 0.005 <= learning.kl_weight <= 0.5
        assert learning.algorithm != "supervised"
    assert found.fault or found.dropped or patch or learning or not found.edits
    store = LocalStore(tmp_path)
    findings = tuple(Finding(what=one.what, evidence=one.evidence) for one in found.findings)
    draft = Draft(
        reply=put_json(store, text),
        findings=findings,
        patch=put_json(store, patch) if patch else "",
        learning=learning,
        notes=found.notes,
        dropped=tuple(found.dropped),
        fault=found.fault,
    )
    assert get_record(store, put_json(store, draft), Draft) == draft


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"kind": "set_knob", "path": "alpha", "new": 1}, "no such knob"),
        ({"kind": "set_knob", "path": "temperature", "new": 7}, "not in [0, 1]"),
        ({"kind": "set_knob", "path": "temperature", "new": 10**400}, "is not in [0, 1]"),
        ({"kind": "replace_text", "path": "verifier.py", "old": "a", "new": "b"}, "can be edited"),
        ({"kind": "replace_text", "path": "../task.toml", "old": "a", "new": "b"}, "can be edited"),
        ({"kind": "run", "path": "x"}, "kind"),
        ("temperature", "valid dictionary"),
    ],
)
def test_a_bad_edit_is_dropped_alone_with_a_reason(edit: object, said: str) -> None:
    found = read(json.dumps({"harness": {"edits": [edit, PIN]}}))
    patch = patch_of(found, BASE, FILES, Memory((), ()), 4)
    assert patch is not None
    assert [kept.path for kept in patch.edits] == ["pin_shape"]
    [dropped] = found.dropped
    assert dropped.part == "harness.edits.0"
    assert said in dropped.why


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 10**400),
        ("steps", 97),
        ("steps", True),
        ("learning_rate", 10**400),
        ("learning_rate", 0.5),
        ("learning_rate", "NaN"),
        ("kl_weight", 0.6),  # the config has 0.05
        ("algorithm", "hope"),
        ("algorithm", "supervised"),  # no right answers are offered
        ("leave_out", ["a999"]),
        ("leave_out", [f"a{number}" for number in range(1, 10)]),  # all there are
        ("budget", 1),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_setting_of_the_update_that_is_out_of_bounds_is_dropped_alone(name: str, value: object) -> None:
    good = "learning_rate" if name == "steps" else "steps"
    found = read(json.dumps({"weights": {name: value, good: {"steps": 5, "learning_rate": 0.001}[good]}}))
    learning = learning_of(found, TrainingSection(), STATES, offers_answers=False)
    assert learning is not None
    assert learning.model_dump(exclude_defaults=True).keys() == {good, "evidence"}
    assert [dropped.part for dropped in found.dropped] == [f"weights.{name}"]


def test_a_good_answer_within_thinking_fences_or_parts_is_found() -> None:
    kinds = {"fence", "content in parts", "tool call", "xml", "thinking", "orders", "two objects"}
    good = {case["kind"] for case in CASES if case["kind"] in kinds and read(_text(case)).edits}
    assert good == kinds


def test_a_reply_that_is_cut_off_within_its_answer_gives_nothing_and_says_so() -> None:
    assert "no JSON object" in read(TEXT[: len(TEXT) // 2]).fault


def test_a_kind_that_a_model_shortened_is_taken_where_it_can_mean_one_alone() -> None:
    short = {"kind": "knob", "path": "pin_shape", "new": "round"}
    found = read(json.dumps({"harness": {"edits": [short, short | {"kind": "exemplar"}]}}))
    assert [edit.kind for edit in found.edits] == ["set_knob"]
    assert found.dropped[0].part == "harness.edits.1"  # to add one, or to drop one


def test_depth_is_counted_without_recursion() -> None:
    deep: object = 1
    for _ in range(100_000):
        deep = [deep]
    assert too_deep(deep)
    assert not too_deep({"a": [{"b": 1}]})


def _text(case: dict) -> str:  # type: ignore[type-arg]
    parsed = parse_completion(body_of(case))
    assert isinstance(parsed, tuple)
    return parsed[0].text

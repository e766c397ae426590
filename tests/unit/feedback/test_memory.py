"""Reasons that close a patch: a refusal, a clear loss, a confirmation that failed. Never a decision that
it had no part in."""

from pathlib import Path

import pytest

from feedback_service.propose.memory import Memory, PastPatch, remember
from shared.config.settings import GateSection
from shared.decisions.gate import confirmed, decide
from shared.ledger.history.state import Generation, Proposal, RunHistory
from shared.messages.evidence import GateRecord
from shared.messages.proposals import Edit, Patch
from shared.messages.records import Release
from shared.store.store import LocalStore, put_bundle, put_json
from tests.loop.toy_world import KNOBS

FLAT, GOOD, BAD = [0.3, 0.5, 0.4, 0.4], [0.4, 0.6, 0.5, 0.6], [0.1, 0.2, 0.1, 0.2]
STEP = b"def step(instance, history, knobs, context):\n    return {}\n"
EDIT = Edit(kind="set_knob", path="temperature", new=0.7)


def remembered(folder: Path, record: GateRecord, refused: str = "") -> Memory:
    store = LocalStore(folder)
    harness = put_bundle(store, {"harness.toml": KNOBS.encode(), "scaffold.py": STEP})
    release = Release(base="b" * 64, harness=harness)
    patch = put_json(store, Patch(base=harness, edits=(EDIT,), reason="r"))
    verdict = decide(record)
    generation = Generation(
        1, release, harness=Proposal(patch, "r", None if refused else harness, refused),
        decision=verdict.decision, why=verdict.why, evidence=put_json(store, record),
    )  # fmt: skip
    return remember(RunHistory(first=release, release=release, all={1: generation}), store)


def screen(mine: list[float], chosen: str) -> GateRecord:
    scores = {"base": FLAT, "harness": mine, "weights": FLAT}
    return GateRecord(screen_scores={arm: tuple(row) for arm, row in scores.items()}, chosen=chosen)


def fate(memory: Memory) -> str:
    return memory.patches[0].fate


def test_a_patch_is_not_failed_by_a_confirmation_of_the_other_arm(tmp_path: Path) -> None:
    record = confirmed(screen(GOOD, "weights"), [0.0, -0.1, 0.02] * 8, 0.05, GateSection(max_pairs=24))
    memory = remembered(tmp_path, record)
    assert fate(memory) == "unproven"
    assert "never confirmed" in memory.patches[0].outcome
    assert not memory.closed(memory.patches[0].base)  # it looked well: it may be proposed once more


def test_a_patch_that_its_own_confirmation_did_not_confirm_failed(tmp_path: Path) -> None:
    record = confirmed(screen(GOOD, "harness"), [0.0, -0.1, 0.02] * 8, 0.05, GateSection(max_pairs=24))
    assert fate(remembered(tmp_path, record)) == "failed"


@pytest.mark.parametrize("change", [{"ended": "the budget is spent"}, {"lost_pairs": 9}])
def test_a_confirmation_that_was_cut_short_by_something_else_fails_nothing(
    tmp_path: Path, change: dict
) -> None:  # type: ignore[type-arg]
    record = confirmed(screen(GOOD, "harness"), [0.1, 0.0, 0.12] * 4, 0.01, GateSection(max_pairs=48))
    assert fate(remembered(tmp_path, record.model_copy(update=change))) == "unproven"


def test_a_clear_loss_in_the_screen_or_a_refusal_is_a_failure_and_a_hair_s_breadth_is_not(
    tmp_path: Path,
) -> None:
    assert fate(remembered(tmp_path / "a", screen(BAD, "base"))) == "failed"
    assert fate(remembered(tmp_path / "b", screen([0.3, 0.5, 0.4, 0.39], "base"))) == "unproven"
    assert fate(remembered(tmp_path / "c", screen(GOOD, "base"), refused="it looped")) == "failed"


def test_what_is_remembered_of_a_decision_does_not_quote_the_error_that_lost_a_gate_instance(
    tmp_path: Path,
) -> None:
    lost = "1 of 5 instances left out of every arm (agent gave ShardOpened up: 500: can't parse 'gate text')"
    memory = remembered(tmp_path, screen([0.3, 0.5, 0.4, 0.39], "base").model_copy(update={"lost": lost}))
    assert "no arm's mean was above base" in memory.patches[0].outcome
    assert "gate text" not in memory.patches[0].outcome


def test_a_promising_patch_is_tried_twice_at_most_and_a_dull_one_once() -> None:
    again = PastPatch("h", (EDIT,), "unproven", "", promising=True)
    assert not Memory((again,), ()).closed("h")
    assert len(Memory((again, again), ()).closed("h")) == 1
    assert len(Memory((PastPatch("h", (EDIT,), "unproven", ""),), ()).closed("h")) == 1

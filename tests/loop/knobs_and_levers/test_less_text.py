"""Un-distillation: once weights are promoted, the run tries to do without the examples in its prompts, and
does so only where nothing is lost beyond the margin and the prompts are shorter for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shared.harness.bundle import load_harness
from shared.ledger.history.state import RunHistory
from shared.messages.evidence import GateRecord
from shared.messages.records import AttemptState, Release
from shared.store.store import get_bundle, get_record
from tests.loop.toy_world import World

KNOBS = """
[knobs.shots]
kind = "choice"
choices = [0, 3]
value = 3
"""
SECTIONS: dict[str, Any] = {
    "run": {"generations": 2},
    "gate": {"max_pairs": 96, "round_instances": 24, "screen_instances": 4, "test_instances": 4},
}


@dataclass
class Shown(World):
    """Each example that a prompt shows costs a hundred tokens. Scores of a screen and a confirmation hold no
    noise, which would choose among arms that are alike."""

    def attempt(
        self, instance: dict[str, Any], arm: str, release: Release, seed: int, knobs: Any = None
    ) -> AttemptState:
        spread = self.spread
        if arm != "train":
            self.spread, knobs = 0.0, {**(knobs or {}), "pin_shape": "square"}
        made = super().attempt(instance, arm, release, seed, knobs)
        self.spread = spread
        shots = int(load_harness(get_bundle(self.store, release.harness)).values["shots"])
        reply = made.turns[0].replies[0].model_copy(update={"prompt_ids": (1,) * (50 + 100 * shots)})
        turn = made.turns[0].model_copy(update={"replies": (reply,)})
        return made.model_copy(update={"turns": (turn, *made.turns[1:])})


def run(folder: Path, lost: float, margin: float) -> tuple[World, RunHistory]:
    gate = SECTIONS["gate"] | {"no_worse_margin": margin}
    made = Shown(folder, SECTIONS | {"gate": gate}, knobs=KNOBS)
    made.surface = lambda setting: -lost * (setting["shots"] == 0)
    return made, made.run()


def shots(made: World, history: RunHistory) -> int:
    assert history.release is not None
    return int(load_harness(get_bundle(made.store, history.release.harness)).values["shots"])


def test_examples_that_the_new_weights_do_not_need_are_dropped_for_no_gain(tmp_path: Path) -> None:
    made, history = run(tmp_path, lost=0.0, margin=0.05)
    first, second = history.generations
    assert (first.decision, first.arm) == ("promoted", "weights")
    assert first.harness is not None
    assert "drop" not in first.harness.reason  # no weights were learned yet
    assert (second.decision, second.arm) == ("promoted", "harness"), second.why
    assert "not worse by more than 0.05" in second.why
    assert shots(made, history) == 0
    record = get_record(made.store, second.evidence or "", GateRecord)
    assert record.min_effect == -0.05
    assert [rail.measured for rail in record.rails if "prompt" in rail.name] == [pytest.approx(50 / 350)]


def test_examples_that_are_still_needed_stay(tmp_path: Path) -> None:
    made, history = run(tmp_path, lost=0.2, margin=0.05)
    assert history.generations[1].arm != "harness"
    assert shots(made, history) == 3


def test_without_a_margin_no_text_is_dropped_for_no_gain(tmp_path: Path) -> None:
    _, history = run(tmp_path, lost=0.0, margin=0.0)
    proposals = [one.harness.reason for one in history.generations if one.harness]
    assert proposals
    assert not any(reason.startswith("drop") for reason in proposals)

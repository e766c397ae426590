"""From SkillOpt: a budget of edits that falls, a buffer of refused edits, and a slow look at the harness as a
whole over instances that an earlier harness met too.
"""

import json
import math
from pathlib import Path

import pytest

from feedback_service.propose.advisor.patching import patch_of
from feedback_service.propose.advisor.reading import Read
from feedback_service.propose.edit_budget import edit_budget
from feedback_service.propose.memory import Memory, PastPatch
from shared.harness.bundle import bundle_digest
from shared.messages.proposals import Edit
from tests.loop.toy_world import KNOBS, World
from tests.parts.endpoint import Endpoint

FILES = {
    "harness.toml": KNOBS.encode(),
    "scaffold.py": b"def step(instance, history, knobs, context):\n    return {}\n",
}
BASE = bundle_digest(FILES)
SAME_TRAIN_INSTANCES = """
def draw(split, count, seed):
    seed = 0 if split == "train" else seed
    return [{"id": f"{split}-{seed}-{i}"} for i in range(count)]
"""
WARM = Edit(kind="set_knob", path="temperature", new=0.9)
PIN = Edit(kind="set_knob", path="pin_shape", new="round")


@pytest.mark.parametrize(
    ("generation", "generations", "budget"),
    [(1, 5, 6), (2, 5, 5), (3, 5, 4), (4, 5, 3), (5, 5, 2), (1, 1, 6), (12, 10_000, 2), (7, 13, 4)],
)
def test_the_budget_of_edits_falls_from_six_to_two_on_half_a_cosine(
    generation: int, generations: int, budget: int
) -> None:
    assert edit_budget(generation, generations) == budget
    share = min(1.0, (generation - 1) / max(1, min(generations, 12) - 1))
    assert abs(budget - (4 + 2 * math.cos(math.pi * share))) <= 0.5


def test_edits_beyond_the_budget_are_dropped_and_the_first_are_kept() -> None:
    found = Read(edits=[WARM, PIN])
    patch = patch_of(found, BASE, FILES, Memory((), ()), 1)
    assert patch is not None
    assert patch.edits == (WARM,)
    assert [(one.part, one.why) for one in found.dropped] == [
        ("harness.edits.1", "beyond this generation's budget of 1 edits")
    ]


def test_an_edit_that_failed_alone_is_dropped_with_what_came_of_it() -> None:
    memory = Memory((PastPatch(BASE, (WARM,), "failed", "worse than base"),), ())
    found = Read(edits=[WARM, PIN])
    patch = patch_of(found, BASE, FILES, memory, 6)
    assert patch is not None
    assert patch.edits == (PIN,)
    assert found.dropped[0].why == "tried before: worse than base"


def test_an_edit_that_failed_among_others_or_on_another_harness_may_be_tried_again() -> None:
    past = (
        PastPatch(BASE, (WARM, PIN), "failed", "worse"),
        PastPatch("f" * 64, (WARM,), "failed", "worse"),
        PastPatch(BASE, (PIN,), "unproven", "never confirmed"),
    )
    patch = patch_of(Read(edits=[WARM]), BASE, FILES, Memory(past, ()), 6)
    assert patch is not None
    assert patch.edits == (WARM,)


def test_every_fourth_generation_sees_the_same_instances_under_the_harness_before(tmp_path: Path) -> None:
    answer = json.dumps({"harness": {"edits": [PIN.model_dump()], "evidence": "e"}})
    with Endpoint(lambda body: answer) as endpoint:
        advisor = {"url": endpoint.url, "name": endpoint.base, "drafts": 1}
        gate = {"screen_instances": 4, "round_instances": 8, "max_pairs": 40, "test_instances": 4}
        sections = {"run": {"generations": 4, "levers": "harness"}, "gate": gate, "advisor": advisor}
        made = World(tmp_path, sections)
        (tmp_path / "task" / "verifier.py").write_text(SAME_TRAIN_INSTANCES)
        history = made.run()
        prompts = [asked["messages"][1]["content"] for asked in endpoint.asked]
    assert history.generations[0].decision == "promoted"
    slow = [prompt for prompt in prompts if "under an earlier harness and under this one" in prompt]
    assert slow == prompts[-len(slow) :]  # those of generation 4: a question, and one again
    assert slow
    assert "then, 0." in slow[0]
    assert "keep what helped, shorten what only grew" in slow[0]
    assert "At most 6 edits" in slow[0]
    assert "At most 3 edits" in prompts[len(prompts) - len(slow) - 1]

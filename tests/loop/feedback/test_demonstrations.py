"""When right answers are asked for, and what becomes of the reply: a weight update that imitates them, or one
of the other algorithms."""

from pathlib import Path
from typing import Any

import pytest

from shared.messages import events as e
from shared.messages.proposals import WeightUpdate
from shared.store.store import get_record
from tests.loop.toy_world import VERIFIER, World

ANSWERS = VERIFIER + "\ndef answers(instance):\n    return ['round']\n"
STEP = "def step(instance, history, knobs, context):\n    return {}\n"
DEMONSTRATE = STEP + "def demonstrate(instance, answer, knobs, context):\n    return []\n"
SHORT = {"run": {"generations": 1}, "rollouts": {"instances": 4}, "gate": {"max_pairs": 12}}


class Taught(World):
    """A toy world whose sandbox answers for demonstrations, with `made` (a digest, or nothing)."""

    def __init__(self, folder: Path, made: str = "d" * 64, **training: Any) -> None:
        super().__init__(folder, {**SHORT, "training": training})
        self.made = made
        self.asked: list[e.DemonstrationsRequested] = []
        self.tell(ANSWERS, DEMONSTRATE)

    def tell(self, verifier: str, scaffold: str) -> None:
        (self.folder / "task" / "verifier.py").write_text(verifier)
        (self.folder / "task" / "harness" / "scaffold.py").write_text(scaffold)

    def demonstrate(self, event: e.DemonstrationsRequested) -> list[e.Message]:
        self.asked.append(event)
        where = {"run_id": event.run_id, "generation": event.generation, "join": event.join}
        return [
            e.DemonstrationsReady(**where, demonstrations=self.made, count=9, reason="none could be made")
        ]

    def update(self) -> WeightUpdate:
        (proposed,) = [
            logged.event
            for logged in self.ledger.events(self.name)
            if isinstance(logged.event, e.WeightUpdateProposed)
        ]
        return get_record(self.store, proposed.update, WeightUpdate)


def test_right_answers_that_a_task_offers_are_imitated(tmp_path: Path) -> None:
    world = Taught(tmp_path, demonstrations=50)
    history = world.run()
    (asked,) = world.asked
    assert history.state == "done"
    assert (asked.harness, asked.count) == (history.first.harness, 50)
    assert asked.patch == history.generations[0].harness.digest != ""
    update = world.update()
    assert (update.algorithm, update.demonstrations) == ("supervised", "d" * 64)
    assert history.generations[0].weights.made is not None


def test_without_any_demonstration_the_rewards_teach(tmp_path: Path) -> None:
    world = Taught(tmp_path, made="")
    world.run()
    update = world.update()
    assert update.algorithm != "supervised"
    assert update.demonstrations == ""


@pytest.mark.parametrize(("verifier", "scaffold"), [(VERIFIER, DEMONSTRATE), (ANSWERS, STEP)])
def test_right_answers_are_asked_for_only_where_both_functions_are_there(
    tmp_path: Path, verifier: str, scaffold: str
) -> None:
    world = Taught(tmp_path)
    world.tell(verifier, scaffold)
    world.run()
    assert world.asked == []
    assert world.update().demonstrations == ""


@pytest.mark.parametrize("training", [{"algorithm": "entropic"}, {"demonstrations": 0}])
def test_a_config_may_do_without_right_answers(tmp_path: Path, training: dict[str, Any]) -> None:
    world = Taught(tmp_path, **training)
    world.run()
    assert world.asked == []
    assert world.update().algorithm != "supervised"
    assert world.update().demonstrations == ""

"""An adapter that was not confirmed, and was no worse, is trained on: the next generation samples under
it, while the gate goes on comparing with the live release."""

from pathlib import Path
from typing import Any

import pytest

from shared.ledger.history.state import RunHistory
from shared.messages import events as e
from tests.loop.toy_world import World

GATE = {"screen_instances": 6, "round_instances": 6, "max_pairs": 12, "test_instances": 6}


class Seen(World):
    """A toy world that remembers from which release each weight update started."""

    def __init__(self, folder: Path, gain: Any, **run: Any) -> None:
        self.started: list[e.WeightUpdateProposed] = []
        super().__init__(folder, {"run": {"generations": 3, **run}, "gate": GATE}, gain=gain)

    def train(self, event: e.WeightUpdateProposed) -> list[e.Message]:
        self.started.append(event)
        return super().train(event)


def train_adapters(world: World) -> list[str | None]:
    return [opened.releases[0].release.adapter for opened in world.opened if opened.purpose == "train"]


def made(history: RunHistory) -> list[str | None]:
    return [generation.weights.made for generation in history.generations if generation.weights]


def test_training_goes_on_from_an_adapter_that_gained_too_little_to_be_confirmed(tmp_path: Path) -> None:
    world = Seen(tmp_path, lambda harness, adapter: 0.05 * adapter, levers="weights")
    history = world.run()
    assert [generation.decision for generation in history.generations] == ["rejected"] * 3
    first, second, _ = made(history)
    assert train_adapters(world) == [None, first, second]
    assert [event.release.adapter for event in world.started] == [None, first, second]
    assert "not promoted yet" in world.started[1].reason
    compared = [opened.releases[0].release for opened in world.opened if opened.purpose == "screen"]
    assert compared == [history.first] * 3


@pytest.mark.parametrize("gain", [-0.2, 0.5])
def test_training_starts_from_the_live_adapter_where_the_last_one_lost_or_went_live(
    tmp_path: Path, gain: float
) -> None:
    world = Seen(tmp_path, lambda harness, adapter: gain * adapter, levers="weights", generations=2)
    history = world.run()
    live = [generation.release.adapter for generation in history.generations if generation.release]
    assert train_adapters(world) == live


@pytest.mark.parametrize(("effect", "onward"), [(0.0, True), (-0.3, False)])
def test_after_a_promotion_of_the_harness_alone_training_goes_on_under_it_unless_the_adapter_lost(
    tmp_path: Path, effect: float, onward: bool
) -> None:
    gain = lambda harness, adapter: 0.4 * harness + effect * adapter  # noqa: E731
    world = Seen(tmp_path, gain, generations=2)
    world.spread = 0.0  # no adapter looks better than it is
    first, second = world.run().generations
    assert first.weights is not None
    assert second.release is not None
    assert first.arm == "harness"
    assert second.sampled == second.release.model_copy(
        update={"adapter": first.weights.made} if onward else {}
    )


def test_the_harness_lever_alone_samples_from_the_live_release(tmp_path: Path) -> None:
    world = Seen(tmp_path, lambda harness, adapter: 0.02 * harness, levers="harness")
    world.run()
    assert set(train_adapters(world)) == {None}

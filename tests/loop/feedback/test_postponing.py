"""A gain that its confirmation would most likely not find yet is trained further before it is tested."""

from pathlib import Path
from typing import Any

import pytest

from shared.messages.evidence import GateRecord
from shared.store.store import get_record
from tests.loop.toy_world import World

GATE = {"screen_instances": 8, "round_instances": 8, "max_pairs": 24, "test_instances": 6}
TRAIN, SCREEN, CONFIRM, TEST = 8, 8, 24, 6
LIMITS = {"gate": GATE, "rollouts": {"instances": 2, "attempts": 4}}


def small(harness: bool, adapter: bool) -> float:
    return 0.03 * adapter


def world(folder: Path, gain: Any = small, **sections: Any) -> World:
    return World(folder, LIMITS | {"run": {"generations": 5, "levers": "weights"}} | sections, gain=gain)


def confirmed(made: World) -> list[int]:
    """Generations that were tested."""
    return sorted({event.generation for event in made.opened if event.purpose == "confirm"})


def test_a_small_gain_waits_twice_at_most_and_is_tested_in_the_last_generation(tmp_path: Path) -> None:
    made = world(tmp_path)
    history = made.run()
    assert confirmed(made) == [3, 5]
    first = history.generations[0]
    record = get_record(made.store, first.evidence or "", GateRecord)
    assert (first.decision, record.chosen, record.alpha) == ("rejected", "weights", 0.0)
    assert "24 pairs would confirm it with a chance of 0." in first.why
    assert "trained further first" in first.why


def test_a_clear_gain_is_tested_at_once(tmp_path: Path) -> None:
    made = world(tmp_path, gain=lambda harness, adapter: 0.4 * adapter)
    first = made.run().generations[0]
    assert (confirmed(made)[0], first.decision) == (1, "promoted")


def test_the_harness_alone_never_waits_as_its_gains_do_not_add_up_by_training(tmp_path: Path) -> None:
    made = world(
        tmp_path, gain=lambda harness, adapter: 0.1 * harness, run={"generations": 3, "levers": "harness"}
    )
    made.spread = 0.1
    history = made.run()
    picked = [
        generation.number
        for generation in history.generations
        if get_record(made.store, generation.evidence or "", GateRecord).chosen == "harness"
    ]
    assert picked
    assert confirmed(made) == picked


@pytest.mark.parametrize(("spare", "tested"), [(0, 2), (-1, 1)])
def test_a_gain_waits_only_where_the_budget_holds_another_generation_with_its_whole_test(
    tmp_path: Path, spare: int, tested: int
) -> None:
    generation = 2 * (TRAIN + 2 * SCREEN)  # an attempt tries one candidate and answers with another
    evaluations = 2 * generation + 2 * (2 * CONFIRM + 2 * TEST)
    made = world(tmp_path, budget={"evaluations": evaluations + spare})
    made.run()
    assert confirmed(made)[0] == tested

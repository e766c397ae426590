"""A run that may choose its levers: `run.levers = "auto"`."""

from pathlib import Path

import pytest

from ratchet.reports.show import show_json
from shared.messages.events import RolloutsOpened
from tests.loop.toy_world import World

GATE = {"screen_instances": 6, "round_instances": 12, "max_pairs": 36, "test_instances": 6}


def world(folder: Path, levers: str, generations: int = 8) -> World:
    sections = {"run": {"generations": generations, "levers": levers}, "gate": GATE}
    return World(folder, sections, gain=lambda harness, adapter: 0.25 * adapter - 0.1 * harness, spread=0.02)


def opened(made: World, purpose: str) -> list[RolloutsOpened]:
    return [event for event in made.opened if event.purpose == purpose]


@pytest.mark.slow
def test_a_lever_is_pulled_alone_and_the_reason_is_in_the_log_and_in_the_table(tmp_path: Path) -> None:
    made = world(tmp_path, "auto")
    history = made.run()
    alone = [event for event in opened(made, "train") if len(event.levers) == 1]
    assert history.state == "done"
    assert alone
    for event in alone:
        [lever] = event.levers
        [other] = {"harness", "weights"} - {lever}
        shown = show_json(history, made.store)["generations"][event.generation - 1]
        assert shown["proposals"][other] is None
        assert "lever alone" in shown["arm_reasons"][other]
        arms = [
            [r.arm for r in s.releases] for s in opened(made, "screen") if s.generation == event.generation
        ]
        assert arms in ([], [["base", lever]])


@pytest.mark.slow
def test_equal_runs_choose_alike(tmp_path: Path) -> None:
    one, other = world(tmp_path / "one", "auto", 4), world(tmp_path / "other", "auto", 4)
    one.run()
    other.run()
    chosen = [[(event.levers, event.why_levers) for event in opened(made, "train")] for made in (one, other)]
    assert chosen[0] == chosen[1]


def test_a_run_of_both_levers_chooses_nothing(tmp_path: Path) -> None:
    made = world(tmp_path, "both", 1)
    made.run()
    assert {event.levers for event in opened(made, "train")} == {()}

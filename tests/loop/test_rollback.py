"""A promotion taken back: the older release is live, for what follows and for who asks; nothing is lost."""

from pathlib import Path

import pytest

from ratchet.reports.show import show_json
from ratchet.serving import rollback
from shared.errors import SettingsError
from shared.messages import events as e
from shared.messages.evidence import GateRecord
from shared.store.store import get_record
from tests.loop.toy_world import World

GATE = {"screen_instances": 6, "round_instances": 12, "max_pairs": 36, "test_instances": 6}


class Folder:
    """A run's folder as rollback sees it, around a world's ledger."""

    def __init__(self, made: World) -> None:
        self.made, self.run_id = made, made.name

    def open_ledger(self):  # type: ignore[no-untyped-def]
        return self.made.ledger


def improved(folder: Path) -> World:
    made = World(folder, {"run": {"generations": 1}, "gate": GATE})
    assert made.run().promotions
    return made


def test_the_release_before_is_live_again_and_the_run_tells_so(tmp_path: Path) -> None:
    made = improved(tmp_path)
    promoted = made.history().release
    line = rollback.roll_back(Folder(made))  # type: ignore[arg-type]
    history = made.history()
    assert history.release == history.first != promoted
    assert "back to the release before generation 1" in line
    assert show_json(history, made.store)["rollbacks"] == ["to the release before generation 1"]


def test_one_can_go_back_and_forth_by_generation(tmp_path: Path) -> None:
    made = improved(tmp_path)
    promoted = made.history().release
    for generation, release in (("0", made.history().first), ("1", promoted), ("0", made.history().first)):
        rollback.roll_back(Folder(made), generation)  # type: ignore[arg-type]
        assert made.history().release == release
    with pytest.raises(SettingsError, match="live already"):
        rollback.roll_back(Folder(made), "0")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="no generation"):
        rollback.roll_back(Folder(made), "7")  # type: ignore[arg-type]


def test_without_a_promotion_there_is_nothing_to_take_back(tmp_path: Path) -> None:
    made = World(tmp_path, {"run": {"generations": 1}, "gate": GATE}, gain=lambda harness, adapter: 0.0)
    made.run()
    with pytest.raises(SettingsError, match="no promotion"):
        rollback.roll_back(Folder(made))  # type: ignore[arg-type]


def test_what_was_compared_with_a_release_rolled_back_since_is_not_promoted(tmp_path: Path) -> None:
    made = World(tmp_path, {"run": {"generations": 2}, "gate": GATE},
                 gain=lambda harness, adapter: 0.2 * harness + 0.2 * adapter)  # fmt: skip

    def roll_back_in_the_second_screen(event: e.RolloutsOpened) -> bool:
        if event.purpose == "screen" and event.generation == 2 and made.history().promotions:
            rollback.roll_back(Folder(made), "0")  # type: ignore[arg-type]
        return False

    made.lose = roll_back_in_the_second_screen
    history = made.run()
    second = history.generations[1]
    assert second.decision == "rejected"
    assert history.release == history.first
    record = get_record(made.store, second.evidence or "", GateRecord)
    assert any("roll-backs" in rail.name for rail in record.rails)

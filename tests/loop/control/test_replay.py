"""Decisions derived again from the ledger and the store alone; a changed one is named."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ratchet.cli.main import app
from ratchet.replay.deriving import replay
from ratchet.serving.rollback import roll_back
from shared.ledger.ledger import LoggedEvent
from shared.messages import events as e
from shared.store.shards import get_shard
from shared.store.store import put_json
from tests.loop.test_rollback import Folder
from tests.loop.toy_world import World

SECTIONS = {
    "run": {"generations": 1},
    "gate": {"screen_instances": 4, "round_instances": 6, "max_pairs": 18, "test_instances": 4},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A run with a promotion, whose task is gone."""
    world = World(tmp_path_factory.mktemp("runs") / "toy", SECTIONS)
    assert world.run().promotions
    shutil.rmtree(world.folder / "task")
    (world.folder / "config.json").write_text(world.config.model_dump_json())
    return world


def changed(made: World, kind: type[e.Message], **fields: object) -> list[LoggedEvent]:
    """The log with other fields in each event of that kind."""
    return [
        LoggedEvent(one.seq, one.at, one.job_id, one.event.model_copy(update=fields), one.id)
        if isinstance(one.event, kind)
        else one
        for one in made.ledger.events(made.name)
    ]


def test_a_run_is_derived_again_from_its_ledger_and_store_though_its_task_is_gone(made: World) -> None:
    log = made.ledger.events(made.name)
    found = replay(log, made.ledger.handled(made.name), made.store)
    assert found.first is None
    by_feedback = [one for one in log if isinstance(one.event, e.RunStarted | e.RolloutsJoined | e.BaseReady)]
    assert found.handled == len(by_feedback) + 1  # and ProposalsJoined
    assert found.events >= 8


@pytest.mark.parametrize(
    ("kind", "fields", "where"),
    [
        (e.ReleasePromoted, {"arm": "weights"}, "arm"),
        (e.ReleasePromoted, {"why": "because"}, "why"),
        (e.RolloutsOpened, {"seeds": (7,)}, "seeds[0]"),
        (e.HarnessProposed, {"reason": "a whim"}, "reason"),
        (e.RunFinished, {"state": "budget"}, "state"),
    ],
)
def test_a_changed_decision_is_the_first_difference(
    made: World, kind: type[e.Message], fields: dict[str, object], where: str
) -> None:
    found = replay(changed(made, kind, **fields), made.ledger.handled(made.name), made.store)
    assert found.first is not None
    assert (found.first.event, found.first.difference.where) == (kind.__name__, where)


def test_a_score_that_was_changed_afterwards_is_found_inside_the_evidence(made: World) -> None:
    """The gate's record says what was measured then; the traces now say otherwise."""
    confirm = next(
        one.event for one in made.ledger.events(made.name)
        if isinstance(one.event, e.ShardFinished) and one.event.purpose == "confirm"
    )  # fmt: skip
    state = get_shard(made.store, confirm.result or "")
    first = next(one for one in state.attempts if one.plan.arm != "base")
    assert first.final is not None
    worse = first.model_copy(
        update={"final": first.final.model_copy(update={"score": first.final.score - 0.01})}
    )
    attempts = tuple(worse if one is first else one for one in state.attempts)
    forged = put_json(made.store, state.model_copy(update={"attempts": attempts}))
    log = [
        LoggedEvent(one.seq, one.at, one.job_id, one.event.model_copy(update={"result": forged}), one.id)
        if one.event == confirm
        else one
        for one in made.ledger.events(made.name)
    ]
    found = replay(log, made.ledger.handled(made.name), made.store)
    assert found.first is not None
    assert found.first.event == "ReleasePromoted"
    assert found.first.difference.where.startswith("evidence ->.differences[")


def test_a_missing_message_and_one_too_many_are_found(made: World) -> None:
    log, done = made.ledger.events(made.name), made.ledger.handled(made.name)
    without = [one for one in log if not isinstance(one.event, e.HarnessProposed)]
    found = replay(without, done, made.store)
    assert found.first is not None
    more = LoggedEvent(log[-1].seq + 1, log[-1].at, log[-1].job_id, e.BaseFailed(run_id="toy", reason="x"))
    found = replay([*log, more], done, made.store)
    assert found.first is not None
    assert (found.first.event, found.first.difference.derived) == ("BaseFailed", "null")


def test_a_roll_back_in_the_midst_of_a_generation_is_derived_alike(tmp_path: Path) -> None:
    world = World(tmp_path, SECTIONS | {"run": {"generations": 2}})

    def in_the_second_screen(event: e.RolloutsOpened) -> bool:
        if event.purpose == "screen" and event.generation == 2 and world.history().promotions:
            roll_back(Folder(world), "0")  # type: ignore[arg-type]
        return False

    world.lose = in_the_second_screen
    assert world.run().rollbacks  # World.run derives it again


def test_the_command_says_equal_or_names_the_difference_with_exit_code_3(made: World) -> None:
    root = str(made.folder.parent)
    equal = CliRunner().invoke(app, ["replay", "toy", "--root", root, "--json"])
    assert (equal.exit_code, json.loads(equal.stdout)["equal"]) == (0, True)
    with made.ledger.database.write() as connection:
        connection.exec_driver_sql(
            'UPDATE events SET body = replace(body, \'"arm":"both"\', \'"arm":"harness"\')'
            " WHERE body LIKE '%release_promoted.v1%'"
        )
    different = CliRunner().invoke(app, ["replay", "toy", "--root", root])
    assert type(different.exception).__name__ == "DifferentDecisionError"
    assert "generation 1, after RolloutsJoined: ReleasePromoted.arm differs" in different.stdout
    assert 'stored:  "harness"' in different.stdout
    (made.folder / "config.json").unlink()  # no run any more, for who derives all runs at the end

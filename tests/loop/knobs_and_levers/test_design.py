"""The design of experiments in whole runs of the feedback service, on a harness whose knobs have known
effects."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from shared.harness.bundle import load_harness
from shared.ledger.history.state import RunHistory
from shared.ledger.steering.reopening import reopen
from shared.messages.proposals import DesignRecord
from shared.store.store import get_bundle, get_json, get_record
from tests.loop.toy_world import World, purposes
from tests.parts.replaying import must_replay_equal

KNOBS = """
[knobs.examples]
kind = "choice"
choices = [0, 1, 3, 5]
value = 0

[knobs.shortlist]
kind = "choice"
choices = [5, 10, 20]
value = 10

[knobs.strict]
kind = "choice"
choices = [true, false]
value = true

[knobs.tone]
kind = "choice"
choices = ["plain", "kind"]
value = "plain"
"""
GATE = {"screen_instances": 6, "round_instances": 12, "max_pairs": 36, "test_instances": 6}
DESIGN = 64


def surface(knobs: dict[str, Any]) -> float:
    score = 0.05 * int(knobs["examples"]) + 0.15 * (knobs["shortlist"] == 5)
    return score - 0.2 * (knobs["strict"] is False)


def world(folder: Path, **changes: Any) -> World:
    rollouts = {"instances": 16, "attempts": 1, "shard": 8, "design": changes.pop("design", DESIGN)}
    sections = {"run": {"generations": 1, "levers": "harness"}, "gate": GATE, "rollouts": rollouts}
    sections |= changes.pop("sections", {})
    return World(folder, sections, knobs=KNOBS, **{"surface": surface} | changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[World, RunHistory]:
    made = world(tmp_path_factory.mktemp("design"))
    return made, made.run()


def record_of(made: World, history: RunHistory, number: int = 1) -> DesignRecord:
    proposal = history.all[number].harness
    assert proposal is not None
    return get_record(made.store, proposal.design, DesignRecord)


def test_the_first_generation_finds_both_knobs_that_help_and_promotes_them(
    run: tuple[World, RunHistory],
) -> None:
    made, history = run
    assert history.generations[0].decision == "promoted"
    assert history.release is not None
    values = load_harness(get_bundle(made.store, history.release.harness)).values
    assert values == {"examples": 5, "shortlist": 5, "strict": True, "tone": "plain"}


def test_its_trials_come_before_any_gate_pair_on_the_train_instances_and_seeds(
    run: tuple[World, RunHistory],
) -> None:
    made, _ = run
    assert purposes(made.opened)[:5] == ["train", "design", "design", "design", "screen"]
    train = made.opened[0]
    for event in made.opened[1:4]:
        assert (event.instances, event.seeds) == (train.instances, train.seeds)
        assert {contender.release for contender in event.releases} == {train.releases[0].release}
    trials = [(c, i) for event in made.opened[1:4] for c in event.releases for i in c.instances]
    assert 0.9 * DESIGN <= len(trials) <= DESIGN
    assert max(Counter((repr(sorted(c.knobs.items())), i) for c, i in trials).values()) == 1


def test_what_it_found_is_stored_with_standard_errors(run: tuple[World, RunHistory]) -> None:
    record = record_of(*run)
    assert (record.attempts, record.known) == (DESIGN, DESIGN + 16)
    assert record.proposed == {"examples": 5, "shortlist": 5}
    alone = {repr(one.knobs): one for one in record.levels}
    harm = alone["{'strict': False}"]
    assert harm.gain + 2 * harm.error < 0
    assert abs(record.settings[0].gain - 0.4) < 3 * record.settings[0].error


def test_where_no_knob_does_anything_nothing_is_proposed(tmp_path: Path) -> None:
    made = world(tmp_path, surface=lambda knobs: 0.0)
    history = made.run()
    assert history.generations[0].decision == "rejected"
    assert "confirm" not in purposes(made.opened)
    assert "no setting of the knobs is surely better" in history.generations[0].harness.refused  # type: ignore[union-attr]
    assert record_of(made, history).proposed == {}


def test_what_was_learned_is_kept_so_that_a_second_generation_tries_less(tmp_path: Path) -> None:
    sections = {"run": {"generations": 2, "levers": "harness"}}
    made = world(tmp_path, sections=sections)
    history = made.run()
    first, second = (
        sum(
            len(c.instances)
            for event in made.opened
            if (event.purpose, event.generation) == ("design", n)
            for c in event.releases
        )
        for n in (1, 2)
    )
    assert second < first
    tried = [c.knobs for e in made.opened if (e.purpose, e.generation) == ("design", 2) for c in e.releases]
    assert not any("strict" in knobs for knobs in tried)
    assert history.state == "done"


def test_lost_trials_are_left_out_and_the_run_goes_on(tmp_path: Path) -> None:
    made = world(tmp_path, lose=lambda event: event.purpose == "design" and event.round == 1)
    history = made.run()
    assert history.state == "done"
    assert record_of(made, history).attempts < DESIGN


def test_the_refused_rollouts_of_a_run_that_was_reopened_count_for_nothing(
    run: tuple[World, RunHistory], tmp_path: Path
) -> None:
    made = world(tmp_path, refused="no such model")
    assert made.run().state == "failed"
    made.refused = ""
    reopen(made.ledger, made.name)
    made.bus.drain()
    must_replay_equal(made.ledger, made.name, made.store)
    assert record_of(made, made.history()) == record_of(*run)


def test_a_design_that_the_budget_has_no_room_for_is_not_opened(tmp_path: Path) -> None:
    # Two evaluations an attempt: train 32, design 128, screen 24, a round 48, the sealed test 24.
    sections = {"budget": {"evaluations": 32 + 128 + 24 + 48 + 24 - 1}}
    made = world(tmp_path, sections=sections)
    history = made.run()
    assert history.state == "budget"
    assert "design of knobs" in history.why


def test_the_weights_lever_alone_opens_none(tmp_path: Path) -> None:
    made = world(tmp_path, sections={"run": {"generations": 1, "levers": "weights"}})
    made.run()
    assert "design" not in purposes(made.opened)


@pytest.mark.slow
def test_equal_configs_try_the_same_settings(tmp_path: Path) -> None:
    one, other = world(tmp_path / "one"), world(tmp_path / "other")
    one.run()
    other.run()
    assert [event.releases for event in one.opened] == [event.releases for event in other.opened]
    assert get_json(one.store, one.opened[0].instances) == get_json(other.store, other.opened[0].instances)

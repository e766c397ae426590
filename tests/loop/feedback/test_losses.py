"""Whole runs in which pairs are lost: no arm gains by what it loses, and the infrastructure's losses
decide nothing."""

from collections import Counter
from pathlib import Path

from shared.messages.evidence import GateRecord
from shared.store.store import get_json, get_record
from tests.loop.toy_world import World

GATE = {"screen_instances": 6, "round_instances": 12, "max_pairs": 36, "test_instances": 6}


def world(folder: Path, kills, gain=lambda harness, adapter: 0.1 * harness) -> World:  # type: ignore[no-untyped-def]
    sections = {"run": {"generations": 1, "levers": "harness"}, "gate": GATE}
    return World(folder, sections, kills=kills, gain=gain)


def hard(instance: str) -> bool:
    return "gate" in instance and instance[-1] in "147"


def test_an_arm_that_breaks_the_verifier_on_hard_instances_counts_its_lowest_score_there(
    tmp_path: Path,
) -> None:
    made = world(tmp_path, lambda instance, arms: hard(instance) and "harness" in arms,
                 gain=lambda harness, adapter: 0.2 * harness)  # fmt: skip
    history = made.run()
    (generation,) = history.generations
    assert generation.decision == "rejected"
    assert "harness alone was lost in" in generation.why
    assert "the verifier broke down" in generation.why
    record = get_record(made.store, generation.evidence or "", GateRecord)
    assert min(record.differences) < -0.2
    assert record.lost_pairs == 0


def test_what_is_lost_is_tried_again_with_each_arm_alone_on_the_same_seeds(tmp_path: Path) -> None:
    made = world(tmp_path, lambda instance, arms: hard(instance) and "harness" in arms)
    made.run()
    first, base, mine = [event for event in made.opened if event.purpose == "confirm"][:3]
    assert [[c.arm for c in event.releases] for event in (first, base, mine)] == [
        ["base", "harness"], ["base"], ["harness"],
    ]  # fmt: skip
    assert first.seeds == base.seeds == mine.seeds
    lost = [instance for instance in get_json(made.store, first.instances) if hard(instance["id"])]
    assert get_json(made.store, base.instances) == get_json(made.store, mine.instances) == lost


def test_pairs_that_both_arms_lose_leave_the_confirmation_unproven(tmp_path: Path) -> None:
    made = world(tmp_path, lambda instance, arms: hard(instance),
                 gain=lambda harness, adapter: 0.4 * harness)  # fmt: skip
    (generation,) = made.run().generations
    assert generation.decision == "rejected"
    assert "unproven" in generation.why


def test_a_shard_that_is_lost_once_and_comes_back_alone_costs_nothing(tmp_path: Path) -> None:
    made = world(tmp_path, lambda instance, arms: hard(instance) and len(arms) > 1,
                 gain=lambda harness, adapter: 0.4 * harness)  # fmt: skip
    (generation,) = made.run().generations
    assert generation.decision == "promoted"
    record = get_record(made.store, generation.evidence or "", GateRecord)
    assert (record.lost, record.lost_pairs) == ("", 0) or "left out" in record.lost


def test_an_outage_that_ends_after_base_was_tried_alone_is_no_gain(tmp_path: Path) -> None:
    tries: Counter[tuple[str, bool]] = Counter()

    def outage(instance: str, arms: set[str]) -> bool:
        tries[instance, len(arms) > 1] += 1
        return hard(instance) and "base" in arms and tries[instance, len(arms) > 1] == 1

    made = world(tmp_path, outage)
    (generation,) = made.run().generations
    record = get_record(made.store, generation.evidence or "", GateRecord)
    assert max(record.differences) < 0.3, generation.why
    assert [c.arm for event in made.opened if event.purpose == "confirm" for c in event.releases][:5] == [
        "base", "harness", "base", "harness", "base",
    ]  # fmt: skip


def test_the_sealed_test_says_which_share_of_its_instances_was_lost(tmp_path: Path) -> None:
    made = world(tmp_path, lambda instance, arms: instance.startswith("test") and instance[-1] == "1",
                 gain=lambda harness, adapter: 0.4 * harness)  # fmt: skip
    history = made.run()
    assert history.generations[0].decision == "promoted"
    assert "sealed test: last release against first" in history.why
    assert "1 of 6 instances left out of every arm (the verifier broke down)" in history.why

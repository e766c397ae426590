"""Lost pairs: tried again with each arm alone, held against the arm that is lost again, counted where both
are."""

import numpy as np

from shared.config.settings import GateSection
from shared.decisions.gate import confirmed, decide
from shared.decisions.settling import Settled, settle
from shared.messages.evidence import GateRecord
from shared.messages.records import ShardState
from shared.tasks.task import ScoreSection
from tests.unit.feedback.attempts import attempt, compared, shard

BOUNDS = ScoreSection(low=0.0, high=1.0)
INSTANCES = [{"id": f"i{n}"} for n in range(4)]


def both(instance: str, base: float, mine: float) -> ShardState:
    return compared({"base": {instance: base}, "harness": {instance: mine}})


def one(arm: str, instance: str, score: float) -> ShardState:
    return shard([attempt(instance, score, arm=arm)])


def test_what_was_lost_is_pending_until_each_arm_was_tried_alone() -> None:
    together = [both("i0", 0.5, 0.6), both("i2", 0.5, 0.4)]
    found = settle(together, {}, "harness", INSTANCES, BOUNDS)
    assert [instance["id"] for instance in found.pending] == ["i1", "i3"]
    assert settle(together, {"base": []}, "harness", INSTANCES, BOUNDS).pending == found.pending


def test_an_arm_that_is_lost_alone_counts_its_lowest_and_one_that_comes_back_its_score() -> None:
    together = [both("i0", 0.5, 0.6)]
    alone = {
        "base": [one("base", "i1", 0.7), one("base", "i2", 0.5)],
        "harness": [one("harness", "i2", 0.6), one("harness", "i3", 0.4)],
    }
    found = settle(together, alone, "harness", INSTANCES, BOUNDS)
    assert [round(d, 9) for d in found.differences] == [0.1, -0.7, 0.1, 0.4]
    assert found.faults == {"base": 1, "harness": 1}
    assert (found.lost, found.pending) == (0, ())


def test_an_arm_can_not_have_a_pair_left_out_by_being_lost_within_a_shard_that_comes_back() -> None:
    together = [shard([attempt("i0", 0.9, arm="base"), attempt("i0", 0.0, arm="harness", outcome="lost")])]
    again = shard([attempt("i0", 0.0, arm="harness", outcome="lost")])
    assert settle(together, {}, "harness", INSTANCES[:1], BOUNDS).pending == (INSTANCES[0],)
    alone = {"base": [one("base", "i0", 0.8)], "harness": [again]}
    found = settle(together, alone, "harness", INSTANCES[:1], BOUNDS)
    assert (found.differences, found.lost, found.faults) == ((-0.8,), 0, {"base": 0, "harness": 1})


def test_base_is_at_fault_only_if_it_is_lost_before_and_after_the_other_arm_comes_back() -> None:
    alone = {"base": list[ShardState](), "harness": [one("harness", "i0", 0.6)]}
    where = ("harness", INSTANCES[:1], BOUNDS)
    assert settle([], alone, *where, base_again=None).pending == (INSTANCES[0],)
    back = settle([], alone, *where, base_again=[one("base", "i0", 0.5)])
    assert [round(difference, 9) for difference in back.differences] == [0.1]
    assert settle([], alone, *where, base_again=[]).differences == (0.6,)


def test_what_both_arms_lose_is_left_out_and_counted() -> None:
    found = settle([both("i0", 0.5, 0.6)], {"base": [], "harness": []}, "harness", INSTANCES, BOUNDS)
    assert (found.lost, found.faults) == (3, {"base": 0, "harness": 0})
    assert len(found.differences) == 1


def test_a_missing_clock_is_no_arm_s_fault() -> None:
    untimed = shard([attempt("i0", 0.0, arm=arm, outcome="not_timed") for arm in ("base", "harness")])
    found = settle([untimed], {}, "harness", INSTANCES[:1], BOUNDS)
    assert found == Settled((), (), (), 1, {"base": 0, "harness": 0})


def promotions(kills_hard: bool, attributes: bool, runs: int = 60) -> float:
    """Share of confirmations that promote a worthless arm: +0.15 on easy instances, lost or worth 0 on
    hard ones (3 in 10), where base has 0.4. `attributes`: what is lost is tried again alone; else it is
    left out."""
    rng, promoted = np.random.default_rng(0), 0
    for _ in range(runs):
        hard = rng.random(48) < 0.3
        base = np.where(hard, 0.4, 0.5) + rng.normal(0, 0.03, 48)
        mine = np.where(hard, 0.0, base + 0.15 + rng.normal(0, 0.05, 48))
        names = [f"i{n}" for n in range(48)]
        lost = {name for name, is_hard in zip(names, hard, strict=True) if is_hard and kills_hard}
        kept = [n for n in range(48) if names[n] not in lost]
        together = [both(names[n], float(base[n]), float(mine[n])) for n in kept]
        again = [one("base", name, float(base[int(name[1:])])) for name in sorted(lost)]
        alone = {"base": again, "harness": []} if attributes else {"base": [], "harness": []}
        found = settle(together, alone, "harness", [{"id": name} for name in names], BOUNDS)
        lost_pairs = found.lost if attributes else 0  # as it was: left out, and not counted
        record = confirmed(
            GateRecord(chosen="harness"), found.differences, 0.0273, GateSection(max_pairs=48), "", lost_pairs
        )
        promoted += decide(record).decision == "promoted"
    return promoted / runs


def test_a_worthless_arm_gains_nothing_by_losing_its_hard_instances() -> None:
    assert promotions(kills_hard=True, attributes=True) == 0
    assert promotions(kills_hard=False, attributes=True) == 0
    assert promotions(kills_hard=True, attributes=False) > 0.4  # what leaving them out would promote

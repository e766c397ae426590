"""Guard rails: a real gain is not promoted at any price, and a few unlucky pairs break nothing."""

import pytest

from shared.config.settings import GateSection
from shared.decisions.gate import confirmed, decide
from shared.decisions.rails import broken, mean_waited_s, measure
from shared.decisions.settling import Settled
from shared.messages.evidence import GateRecord
from shared.messages.records import AttemptState
from tests.unit.feedback.attempts import attempt

NAMES = [f"i{n}" for n in range(8)]


def arms(mine: str = "ok", mine_failing: int = 0, reply: str = "{}") -> list[AttemptState]:
    """Eight pairs; of mine the first few end with another outcome."""
    base = [attempt(name, 0.5, arm="base") for name in NAMES]
    made = [
        attempt(name, 0.8, arm="harness", reply=reply, outcome=mine if n < mine_failing else "ok")  # type: ignore[arg-type]
        for n, name in enumerate(NAMES)
    ]
    return base + made


def settled(differences: list[float], groups: str, faults: int = 0) -> Settled:
    compared = tuple({"id": name, "kind": kind} for name, kind in zip(NAMES, groups, strict=True))
    return Settled(tuple(differences), compared, (), 0, {"base": 0, "harness": faults})


FLAT = settled([0.1] * 8, "aaaabbbb")


def test_failures_count_against_the_arm_that_has_more_of_them() -> None:
    gate = GateSection(max_failure_rise=0.2)
    assert broken(measure(gate, [FLAT], arms("crashed", 1), "harness")) == ""  # 1 of 8
    assert "share of failures above base's: 0.25" in broken(
        measure(gate, [FLAT], arms("crashed", 2), "harness")
    )


def test_what_an_arm_alone_lost_is_a_failure_too() -> None:
    (rail,) = measure(GateSection(), [settled([0.1] * 8, "aaaabbbb", faults=2)], arms(), "harness")
    assert rail.measured == pytest.approx(2 / 10)


def test_what_base_lost_on_the_way_excuses_no_failure_of_the_other_arm() -> None:
    lost = [attempt(name, 0.0, arm="base", outcome="lost") for name in NAMES]
    (rail,) = measure(GateSection(), [FLAT], [*arms("crashed", 2), *lost], "harness")
    assert rail.measured == pytest.approx(2 / 8)


def test_longer_replies_break_the_rail_only_where_one_is_stated() -> None:
    dear = arms(reply="x" * 20)  # base's have 2 characters
    assert broken(measure(GateSection(), [FLAT], dear, "harness")) == ""
    assert "10, at most 3 allowed" in broken(measure(GateSection(max_token_ratio=3), [FLAT], dear, "harness"))


def test_a_group_may_not_be_harmed_beyond_its_margin() -> None:
    gate = GateSection(group="kind", group_margin=0.05)
    harmed = settled([0.5, 0.5, 0.5, 0.5, -0.1, -0.12, -0.08, -0.1], "aaaabbbb")
    unlucky = settled([0.5, 0.5, 0.5, 0.5, -0.6, 0.2, 0.1, 0.0], "aaaabbbb")
    few = settled([0.5, 0.5, 0.5, 0.5, 0.5, -0.2, -0.2, -0.2], "aaaaabbb")
    assert "loss on kind b" in broken(measure(gate, [harmed], arms(), "harness"))
    assert broken(measure(gate, [unlucky], arms(), "harness")) == ""
    assert broken(measure(gate, [few], arms(), "harness")) == ""


def test_a_real_gain_at_too_high_a_price_is_rejected_and_the_decision_recomputes() -> None:
    gate = GateSection(max_pairs=24)
    gains = [0.3, 0.2, 0.4] * 8
    rails = measure(gate, [FLAT], arms("timeout", 4), "harness")
    record = confirmed(GateRecord(chosen="harness"), gains, 0.05, gate, measured=rails)
    verdict = decide(GateRecord.model_validate_json(record.model_dump_json()))
    assert verdict.decision == "rejected"
    assert "the gain is real, but share of failures" in verdict.why
    assert decide(confirmed(GateRecord(chosen="harness"), gains, 0.05, gate)).decision == "promoted"


def waiting(attempts: list[AttemptState], seconds: dict[str, float]) -> list[AttemptState]:
    """Each attempt's turns, with two replies that were asked for together: the arm's seconds, and half."""
    made = []
    for one in attempts:
        reply = one.replies[0]
        pair = tuple(
            reply.model_copy(update={"waited_s": share * seconds[one.plan.arm]}) for share in (0.5, 1)
        )
        turns = tuple(
            turn.model_copy(update={"replies": pair}) if turn.replies else turn for turn in one.turns
        )
        made.append(one.model_copy(update={"turns": turns}))
    return made


def test_longer_waiting_for_the_model_breaks_the_rail_only_where_one_is_stated() -> None:
    slow = waiting(arms(), {"base": 2.0, "harness": 5.0})
    assert mean_waited_s(slow) == {"base": 2.0, "harness": 5.0}
    assert broken(measure(GateSection(), [FLAT], slow, "harness")) == ""
    assert broken(measure(GateSection(max_latency_ratio=2.5), [FLAT], slow, "harness")) == ""
    found = broken(measure(GateSection(max_latency_ratio=2), [FLAT], slow, "harness"))
    assert found == "seconds waited for the model an attempt, times base's: 2.5, at most 2 allowed"


def test_replies_whose_waiting_nobody_measured_say_nothing_of_latency() -> None:
    old = arms()
    assert mean_waited_s(old) == {}
    assert all(
        "seconds" not in one.name for one in measure(GateSection(max_latency_ratio=1), [FLAT], old, "harness")
    )
    mixed = waiting(arms()[:8], {"base": 2.0}) + arms()[8:]
    assert mean_waited_s(mixed) == {"base": 2.0}
    half = waiting(arms()[:4], {"base": 2.0}) + arms()[4:8]
    assert mean_waited_s(half) == {"base": 2.0}  # not 1.0


def test_a_record_without_waiting_is_stored_as_before_there_was_such_a_field() -> None:
    assert "waited_s" not in GateRecord().model_dump(mode="json")
    record = GateRecord(waited_s={"base": 2.0})
    assert GateRecord.model_validate(record.model_dump(mode="json")) == record

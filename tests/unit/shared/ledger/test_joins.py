"""Joins: the last arrival makes the next message, once, whatever comes twice or late."""

import pytest

from shared.ledger.ledger import Ledger, Ring
from shared.messages import events as e
from shared.messages.events import Join

RUN = "run-1"


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:
    ledger = Ledger(ledger_url)
    ledger.create_schema()
    ledger.create_run(RUN)
    return ledger


def arrival(slot: str, result: str = "r", join: str = "j", expected: int = 3) -> e.ShardFinished:
    where = Join(id=join, slot=slot, expected=expected)
    return e.ShardFinished(run_id=RUN, generation=2, purpose="train", result=result, join=where)


def joined(ledger: Ledger) -> list[e.RolloutsJoined]:
    return [log.event for log in ledger.events(RUN) if isinstance(log.event, e.RolloutsJoined)]


def test_the_last_arrival_makes_one_job_with_all_in_order_of_slots(ledger: Ledger) -> None:
    assert ledger.submit([arrival("c"), arrival("a")]) == []
    [ring] = ledger.submit([arrival("b")])
    assert (ring.service, ring.type) == ("feedback", "rollouts_joined.v1")
    [message] = joined(ledger)
    assert message.arrivals == (arrival("a"), arrival("b"), arrival("c"))
    assert (message.run_id, message.generation, message.join) == (RUN, 2, None)


def test_a_slot_counts_once_and_the_first_answer_stays(ledger: Ledger) -> None:
    ledger.submit([arrival("a"), arrival("a"), arrival("a", result="another answer"), arrival("b")])
    assert joined(ledger) == []
    ledger.submit([arrival("c"), arrival("c", result="too late"), arrival("d")])
    [message] = joined(ledger)
    assert message.arrivals == (arrival("a"), arrival("b"), arrival("c"))


def test_joins_do_not_mix(ledger: Ledger) -> None:
    ledger.submit([arrival("a", join="one", expected=2), arrival("b", join="two", expected=2)])
    assert joined(ledger) == []
    rings: list[Ring] = ledger.submit([arrival("b", join="one", expected=2)])
    assert len(rings) == len(joined(ledger)) == 1


def test_answers_of_both_levers_gather_into_one_message(ledger: Ledger) -> None:
    refused = e.HarnessRefused(run_id=RUN, reason="x", join=Join(id="p", slot="harness", expected=2))
    adapter = e.AdapterPublished(
        run_id=RUN, adapter="a", reason="y", join=Join(id="p", slot="weights", expected=2)
    )
    ledger.submit([adapter, refused])
    assert isinstance(ledger.events(RUN)[-1].event, e.ProposalsJoined)
    assert e.ProposalsJoined(run_id=RUN, arrivals=(refused, adapter)) == ledger.events(RUN)[-1].event

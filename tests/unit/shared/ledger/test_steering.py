"""A run's end undone or forced, on the ledger alone, on both databases. What feedback then makes of it is in
tests/loop/control."""

import pytest

from shared.errors import LostLeaseError, SettingsError
from shared.ledger.ledger import Ledger
from shared.ledger.steering.reopening import cancel, extend, reopen
from shared.messages import events as e

RUN, ME = "run-1", "host/1/1"


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:
    opened = Ledger(ledger_url)
    opened.create_schema()
    opened.create_run(RUN)
    return opened


def kinds(ledger: Ledger) -> list[str]:
    return [type(logged.event).__name__ for logged in ledger.events(RUN)]


def ended(ledger: Ledger, state: str) -> None:
    """The run's first job ends it."""
    [ring] = ledger.submit([e.RunStarted(run_id=RUN, config="c")])
    claim = ledger.claim(ring.job_id, ME)
    assert claim is not None
    ledger.commit(
        claim.job_id,
        claim.fence,
        [e.RunFinished(run_id=RUN, state=state, why="so")],  # type: ignore[arg-type]
    )
    assert ledger.run_state(RUN) == state


def test_a_cancelled_run_has_no_open_job_and_who_holds_one_writes_nothing(ledger: Ledger) -> None:
    [ring] = ledger.submit([e.RunStarted(run_id=RUN, config="c")])
    claim = ledger.claim(ring.job_id, ME)
    assert claim is not None
    assert cancel(ledger, RUN) == 1
    assert ledger.run_state(RUN) == "cancelled"
    assert kinds(ledger) == ["RunStarted", "RunFinished"]
    with pytest.raises(LostLeaseError):
        ledger.commit(claim.job_id, claim.fence, [e.BaseRequested(run_id=RUN, config="c")])
    assert not ledger.renew(claim.job_id, claim.fence)
    with pytest.raises(SettingsError, match="has ended already: cancelled"):
        cancel(ledger, RUN)


def test_what_is_cancelled_or_done_is_not_reopened_and_what_failed_is_not_extended(ledger: Ledger) -> None:
    ended(ledger, "failed")
    with pytest.raises(SettingsError, match="has failed"):
        extend(ledger, RUN, "d", 1, 2)
    assert reopen(ledger, RUN) == 0  # the job that ended it is feedback's own, and done
    assert ledger.run_state(RUN) == "running"
    cancel(ledger, RUN)
    for refused in (lambda: extend(ledger, RUN, "d", 1, 2), lambda: reopen(ledger, RUN)):
        with pytest.raises(SettingsError, match="cancelled"):
            refused()
    assert kinds(ledger) == ["RunStarted", "RunFinished", "RunReopened", "RunFinished"]


@pytest.mark.parametrize("state", ["done", "stopped", "budget"])
def test_a_run_that_ended_in_order_continues_with_a_job_of_feedback(ledger: Ledger, state: str) -> None:
    ended(ledger, state)
    [ring] = extend(ledger, RUN, "d", 1, 3)
    assert (ring.service, ring.type) == ("feedback", "run_extended.v1")
    assert ledger.run_state(RUN) == "running"
    event = ledger.events(RUN)[-1].event
    assert isinstance(event, e.RunExtended)
    assert (event.number, event.continues, event.generations_before, event.generations) == (1, True, 1, 3)


def test_raises_of_a_run_under_way_are_numbered_and_end_nothing(ledger: Ledger) -> None:
    ledger.submit([e.RunStarted(run_id=RUN, config="c")])
    extend(ledger, RUN, "d", 1, 2)
    extend(ledger, RUN, "d", 1, 2)  # the same again is another raise, not the same message
    raised = [logged.event for logged in ledger.events(RUN) if isinstance(logged.event, e.RunExtended)]
    assert [(event.number, event.continues) for event in raised] == [(1, False), (2, False)]
    with pytest.raises(SettingsError, match="has not failed: running"):
        reopen(ledger, RUN)

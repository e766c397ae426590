"""An error that no retry removes pauses the run; a transient one is retried when the server asked for it."""

from pathlib import Path

import pytest

from shared import children
from shared.bus.bus import Bus, Handlers
from shared.errors import ChatUnavailableError, EndpointBlockedError, RatchetError
from shared.ledger import pausing
from shared.ledger.ledger import Ledger
from shared.messages import events as e

START = e.RunStarted(run_id="r", config="0")


def made_ledger(folder: Path, outage_s: float = 900) -> Ledger:
    ledger = Ledger(f"sqlite:///{folder / 'ledger.sqlite'}", outage_s=outage_s)
    ledger.create_schema()
    ledger.create_run("r")
    return ledger


def raising(*errors: RatchetError) -> Handlers:
    left = list(errors)

    def handle(event: e.RunStarted) -> list[e.Message]:
        if left:
            raise left.pop(0)
        return [e.RunFinished(run_id="r", state="done", why="all is done")]

    return {e.RunStarted: handle}


def made_bus(ledger: Ledger, handlers: Handlers) -> Bus:
    return Bus(ledger, lambda: handlers, lambda rings: None, children.owner_name(), jitter=lambda: 0.9)


def test_a_blocked_endpoint_pauses_the_run_until_it_is_resumed(tmp_path: Path) -> None:
    ledger = made_ledger(tmp_path)
    [ring] = ledger.submit([START])
    bus = made_bus(ledger, raising(EndpointBlockedError("no credit", "pay")))
    assert bus.process(ring.job_id)
    assert ledger.run_state("r") == "paused"
    assert pausing.paused_why(ledger, "r") == "no credit (pay)"
    assert not bus.process(ring.job_id)
    assert (ledger.due(), ledger.overdue(), ledger.idle()) == ([], [], True)

    assert pausing.go_on(ledger, "r")
    assert not pausing.go_on(ledger, "r")
    assert pausing.paused_why(ledger, "r") == ""
    assert bus.process(ring.job_id)
    assert ledger.run_state("r") == "done"


def test_a_pause_costs_the_job_no_attempt(tmp_path: Path) -> None:
    ledger = made_ledger(tmp_path)
    [ring] = ledger.submit([START])
    bus = made_bus(ledger, raising(*[EndpointBlockedError("no key")] * 9))
    for _ in range(9):
        assert bus.process(ring.job_id)
        pausing.go_on(ledger, "r")
    assert bus.process(ring.job_id)
    assert ledger.run_state("r") == "done"


def test_a_job_is_not_tried_before_the_endpoint_asked_for_it(tmp_path: Path) -> None:
    ledger = made_ledger(tmp_path)
    [ring] = ledger.submit([START])
    busy = ChatUnavailableError("429")
    busy.retry_after_s = 120.0
    bus = made_bus(ledger, raising(busy))
    bus.process(ring.job_id)
    assert bus.failure is not None
    assert bus.failure.retry_s == 120.0
    [trouble] = pausing.troubles(ledger, "r")
    assert (trouble.service, trouble.reason) == ("feedback", "429")
    assert trouble.again_in_s == pytest.approx(120, abs=5)
    assert not bus.process(ring.job_id)


def test_an_outage_that_lasts_too_long_pauses_the_run(tmp_path: Path) -> None:
    ledger = made_ledger(tmp_path, outage_s=0.0)
    [ring] = ledger.submit([START])
    bus = made_bus(ledger, raising(ChatUnavailableError("away"), ChatUnavailableError("still away")))
    bus.process(ring.job_id)
    assert ledger.run_state("r") == "running"
    while ledger.run_state("r") == "running":
        bus.process(ring.job_id)
    assert pausing.paused_why(ledger, "r") == "still away"


def test_a_wait_longer_than_an_outage_may_last_pauses_at_once(tmp_path: Path) -> None:
    ledger = made_ledger(tmp_path)
    [ring] = ledger.submit([START])
    busy = ChatUnavailableError("429: come back tomorrow")
    busy.retry_after_s = 86_400.0
    made_bus(ledger, raising(busy)).process(ring.job_id)
    assert ledger.run_state("r") == "paused"

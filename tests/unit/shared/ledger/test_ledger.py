"""The ledger alone, on both databases: one effect for each job, fences, leases, deaths and a run's end."""

import time
from pathlib import Path

import pytest

from shared.errors import LedgerError, LostLeaseError, SettingsError
from shared.ledger.ledger import Ledger
from shared.messages import events as e
from shared.messages.events import Message
from shared.messages.records import digest_of

RUN = "run-1"
ME, OTHER = "host/1/1", "host/2/2"


@pytest.fixture
def ledger(ledger_url: str) -> Ledger:
    return open_ledger(ledger_url)


def open_ledger(url: str, **options: float) -> Ledger:
    ledger = Ledger(url, **options)  # type: ignore[arg-type]
    ledger.create_schema()
    ledger.create_run(RUN)
    return ledger


def started(config: str = "c") -> Message:
    return e.RunStarted(run_id=RUN, config=config)


def kinds(ledger: Ledger) -> list[str]:
    return [type(logged.event).__name__ for logged in ledger.events(RUN)]


def test_a_job_is_named_by_its_service_and_message(ledger: Ledger) -> None:
    [ring] = ledger.submit([started()])
    assert ring == (digest_of(["feedback", started().digest]), "feedback", "run_started.v1")


def test_submitting_twice_accepts_once(ledger: Ledger) -> None:
    assert len(ledger.submit([started()])) == 1
    assert ledger.submit([started()]) == []
    assert kinds(ledger) == ["RunStarted"]
    assert ledger.jobs(RUN) == {("feedback", "ready"): 1}


def test_a_commit_logs_its_events_and_makes_their_jobs(ledger: Ledger) -> None:
    [ring] = ledger.submit([started()])
    claim = ledger.claim(ring.job_id, ME)
    assert claim is not None
    assert (claim.event, claim.fence, claim.attempt) == (started(), 1, 1)
    [following] = ledger.commit(claim.job_id, claim.fence, [e.BaseRequested(run_id=RUN, config="c")])
    assert (following.service, following.type) == ("trainer", "base_requested.v1")
    assert [logged.job_id for logged in ledger.events(RUN)] == [None, ring.job_id]
    assert ledger.jobs(RUN) == {("feedback", "done"): 1, ("trainer", "ready"): 1}


def test_what_two_jobs_say_alike_is_one_fact(ledger: Ledger) -> None:
    requested = e.BaseRequested(run_id=RUN, config="c")
    for ring in ledger.submit([started("a"), started("b")]):
        claim = ledger.claim(ring.job_id, ME)
        assert claim is not None
        ledger.commit(claim.job_id, claim.fence, [requested])
    assert kinds(ledger) == ["RunStarted", "RunStarted", "BaseRequested"]
    assert ledger.jobs(RUN)["trainer", "ready"] == 1


def test_a_leased_or_done_job_can_not_be_claimed(ledger: Ledger) -> None:
    [ring] = ledger.submit([started()])
    claim = ledger.claim(ring.job_id, ME)
    assert claim is not None
    assert ledger.claim(ring.job_id, OTHER) is None
    ledger.commit(claim.job_id, claim.fence, [])
    assert ledger.claim(ring.job_id, OTHER) is None
    assert ledger.claim("no such job", ME) is None


def test_a_zombie_can_neither_commit_nor_fail_nor_renew(ledger_url: str) -> None:
    ledger = open_ledger(ledger_url, lease_s=0.05)
    [ring] = ledger.submit([started()])
    old = ledger.claim(ring.job_id, ME)
    time.sleep(0.06)
    new = ledger.claim(ring.job_id, OTHER)
    assert old is not None
    assert new is not None
    assert (old.fence, new.fence) == (1, 2)
    with pytest.raises(LostLeaseError, match="leased under fence 2"):
        ledger.commit(old.job_id, old.fence, [e.BaseRequested(run_id=RUN, config="zombie")])
    with pytest.raises(LostLeaseError):
        ledger.fail(old.job_id, old.fence, "zombie", 1.0)
    assert not ledger.renew(old.job_id, old.fence)
    assert ledger.renew(new.job_id, new.fence)
    ledger.commit(new.job_id, new.fence, [])
    assert kinds(ledger) == ["RunStarted"]


def test_a_commit_that_breaks_leaves_nothing_behind(ledger: Ledger) -> None:
    [ring] = ledger.submit([started()])
    claim = ledger.claim(ring.job_id, ME)
    assert claim is not None
    lost = e.ShardFinished(
        run_id=RUN, purpose="train", result="r"
    )  # of no join: no handler would ever get it
    with pytest.raises(ValueError, match="must carry the join"):
        ledger.commit(claim.job_id, claim.fence, [e.BaseRequested(run_id=RUN, config="c"), lost])
    assert kinds(ledger) == ["RunStarted"]
    ledger.commit(claim.job_id, claim.fence, [e.BaseRequested(run_id=RUN, config="c")])
    assert kinds(ledger) == ["RunStarted", "BaseRequested"]


def test_a_failed_job_waits_for_its_time(ledger: Ledger) -> None:
    [ring] = ledger.submit([started()])
    claim = ledger.claim(ring.job_id, ME)
    assert claim is not None
    assert ledger.fail(claim.job_id, claim.fence, "not yet", 0.1) == []
    assert ledger.claim(ring.job_id, ME) is None
    assert ledger.overdue() == []
    time.sleep(0.12)
    assert ledger.overdue() == [ring]
    again = ledger.claim(ring.job_id, ME)
    assert again is not None
    assert (again.fence, again.attempt) == (2, 2)


def test_the_last_attempt_that_fails_kills_the_job_and_feedback_gets_a_job_died(ledger_url: str) -> None:
    ledger = open_ledger(ledger_url, max_attempts=2)
    [ring] = ledger.submit([started()])
    rings = []
    for _ in range(2):
        claim = ledger.claim(ring.job_id, ME)
        assert claim is not None
        rings = ledger.fail(claim.job_id, claim.fence, "boom", 0.0)
    assert [(ring.service, ring.type) for ring in rings] == [("feedback", "job_died.v1")]
    died = ledger.events(RUN)[-1].event
    assert isinstance(died, e.JobDied)
    assert (died.job_id, died.service, died.reason, died.attempts) == (ring.job_id, "feedback", "boom", 2)
    assert e.decode(died.event) == started()


@pytest.mark.parametrize("retry_s", [0.0, None], ids=["tried again", "given up"])
def test_a_reason_that_no_column_takes_is_mended_and_not_lost(ledger: Ledger, retry_s: float | None) -> None:
    [ring] = ledger.submit([started()])
    claim = ledger.claim(ring.job_id, ME)
    assert claim is not None

    ledger.fail(claim.job_id, claim.fence, "it was \ud800 and \0", retry_s)

    state = "ready" if retry_s is not None else "dead"
    assert ledger.jobs(RUN)[("feedback", state)] == 1


def test_transient_failures_use_up_no_attempts(ledger_url: str) -> None:
    ledger = open_ledger(ledger_url, max_attempts=2)
    [ring] = ledger.submit([started()])
    for fence in range(1, 6):
        claim = ledger.claim(ring.job_id, ME)
        assert claim is not None
        assert (claim.fence, claim.attempt) == (fence, 1)
        ledger.fail(claim.job_id, claim.fence, "store away", 0.0, transient=True)


def test_transient_failures_count_when_they_last_too_long(ledger_url: str) -> None:
    ledger = open_ledger(ledger_url, max_attempts=2)
    [ring] = ledger.submit([started()])
    for _ in range(3):
        claim = ledger.claim(ring.job_id, ME)
        assert claim is not None
        ledger.fail(claim.job_id, claim.fence, "store away", 0.0, transient=True)
        with ledger.database.write() as connection:  # a quarter of an hour goes by
            connection.exec_driver_sql("UPDATE jobs SET failing_since = failing_since - 900")
    assert kinds(ledger) == ["RunStarted", "JobDied"]


def test_a_job_that_always_kills_its_worker_dies(ledger_url: str) -> None:
    ledger = open_ledger(ledger_url, lease_s=0.0, max_attempts=3)
    [ring] = ledger.submit([started()])
    for _ in range(3):
        assert ledger.claim(ring.job_id, ME) is not None
        assert ledger.overdue() == [ring]
    assert ledger.claim(ring.job_id, ME) is None
    assert ledger.jobs(RUN) == {("feedback", "dead"): 1, ("feedback", "ready"): 1}
    assert kinds(ledger) == ["RunStarted", "JobDied"]


def test_when_the_death_of_a_job_can_not_be_handled_the_run_fails(ledger_url: str) -> None:
    ledger = open_ledger(ledger_url, max_attempts=1)
    [ring] = ledger.submit([started()])
    for _ in range(2):
        claim = ledger.claim(ring.job_id, ME)
        assert claim is not None
        [ring] = ledger.fail(claim.job_id, claim.fence, "boom", None) or [ring]
    assert ledger.run_state(RUN) == "failed"
    assert kinds(ledger) == ["RunStarted", "JobDied", "RunFinished"]


def test_a_lost_doorbell_is_rung_again_and_ever_less_often(ledger_url: str) -> None:
    ledger = open_ledger(ledger_url, ring_s=0.8)
    [ring] = ledger.submit([started()])
    assert ledger.overdue() == []
    time.sleep(0.9)
    assert ledger.overdue() == [ring]
    assert ledger.overdue() == []


def test_the_lease_of_a_process_that_is_gone_does_not_have_to_run_out(ledger: Ledger) -> None:
    [ring] = ledger.submit([started()])
    assert ledger.claim(ring.job_id, ME) is not None
    assert ledger.overdue(lambda owner: owner == OTHER) == []
    assert ledger.overdue(lambda owner: owner == ME) == [ring]
    assert ledger.claim(ring.job_id, OTHER) is not None


def test_one_reconciler_is_elected_until_its_lease_runs_out(ledger: Ledger) -> None:
    assert ledger.elect("reconciler", ME, 60)
    assert not ledger.elect("reconciler", OTHER, 60)
    assert ledger.elect("reconciler", ME, 0.01)
    time.sleep(0.02)
    assert ledger.elect("reconciler", OTHER, 60)
    assert not ledger.elect("reconciler", ME, 60)


def test_a_run_that_has_ended_ends_its_open_jobs(ledger: Ledger) -> None:
    first, second, third = ledger.submit([started("a"), started("b"), started("c")])
    ender, straggler = ledger.claim(first.job_id, ME), ledger.claim(second.job_id, OTHER)
    assert ender is not None
    assert straggler is not None
    ledger.commit(ender.job_id, ender.fence, [e.RunFinished(run_id=RUN, state="stopped", why="asked to")])
    assert ledger.run_state(RUN) == "stopped"
    assert ledger.jobs(RUN) == {("feedback", "done"): 1, ("feedback", "dead"): 2}
    assert ledger.claim(third.job_id, ME) is None
    with pytest.raises(LostLeaseError):
        ledger.commit(straggler.job_id, straggler.fence, [started("late")])


def test_everything_is_there_after_a_restart(ledger_url: str) -> None:
    [ring] = open_ledger(ledger_url).submit([started()])
    ledger = open_ledger(ledger_url)
    assert ledger.run_state(RUN) == "running"
    assert ledger.due() == [ring]
    assert [logged.event for logged in ledger.events(RUN)] == [started()]
    assert ledger.events(RUN, after=ledger.events(RUN)[-1].seq) == []
    assert ledger.open_jobs(RUN) == 1


def test_a_message_that_this_version_can_not_read_dies_with_the_reason(ledger: Ledger) -> None:
    [ring] = ledger.submit([started()])
    with ledger.database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE events SET body = replace(body, 'run_started.v1', 'run_started.v9')"
        )
    assert ledger.claim(ring.job_id, ME) is None
    assert ledger.jobs(RUN) == {("feedback", "dead"): 1, ("feedback", "ready"): 1}
    with ledger.database.read() as connection:
        [reason] = connection.exec_driver_sql("SELECT last_error FROM jobs WHERE state = 'dead'").scalars()
    assert "drain or upgrade" in reason


def test_a_ledger_that_cannot_be_used_gives_a_hint(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="does its folder exist"):
        Ledger(f"sqlite:///{tmp_path / 'nowhere' / 'ledger.sqlite'}").create_schema()
    with pytest.raises(LedgerError, match="no ledger: give a run"):
        Ledger(f"sqlite:///{tmp_path / 'empty.sqlite'}").run_state(RUN)
    with pytest.raises(LedgerError, match="no run 'other'"):
        open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}").run_state("other")
    with pytest.raises(SettingsError, match="sqlite:////path"):
        Ledger("sqlite://")


def test_a_full_disk_is_an_error_that_passes(tmp_path: Path) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    with ledger.database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    big = started("x" * 200_000)

    def submit_on_a_full_disk() -> None:
        with ledger.database.write() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            ledger._effects(connection).append(None, [big])

    with pytest.raises(LedgerError, match="free some space") as caught:
        submit_on_a_full_disk()
    assert caught.value.transient
    assert len(ledger.submit([big])) == 1

"""One job from doorbell to done: on the in-memory bus, with stand-in services and handlers that break."""

import errno
import subprocess
import threading
import time
from pathlib import Path

import pytest

from shared import children
from shared.bus.bus import Bus, Failure, Handlers, MemoryBus, backoff_s
from shared.errors import ArtifactError, StoreUnavailableError
from shared.ledger.ledger import Ledger, Ring
from shared.messages import events as e
from shared.messages.events import Message
from tests.live.stack.echo_service import handlers as echo

RUN = "run-1"
START = e.RunStarted(run_id=RUN, config="0")


def hardly_any_wait() -> float:
    return 0.99


def open_ledger(folder: Path, lease_s: float = 60, max_attempts: int = 4) -> Ledger:
    ledger = Ledger(f"sqlite:///{folder / 'ledger.sqlite'}", lease_s=lease_s, max_attempts=max_attempts)
    ledger.create_schema()
    ledger.create_run(RUN)
    return ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(tmp_path)


def bus(ledger: Ledger, handlers: Handlers, rung: list[Ring] | None = None) -> Bus:
    bells: list[Ring] = [] if rung is None else rung
    return Bus(ledger, lambda: handlers, bells.extend, children.owner_name(), jitter=lambda: 0.0)


def log(ledger: Ledger) -> list[tuple[int, str | None, Message]]:
    return [(logged.seq, logged.job_id, logged.event) for logged in ledger.events(RUN)]


def test_a_run_drains_to_its_end(ledger: Ledger, tmp_path: Path) -> None:
    memory = MemoryBus(ledger, echo(tmp_path))
    memory.submit([START])
    assert memory.drain() == 17  # 4 until the rollouts open, 3 a shard, 1 for the join
    assert ledger.run_state(RUN) == "done"
    assert {state for _, state in ledger.jobs(RUN)} == {"done"}


def test_a_drain_stops_when_told_and_goes_on_from_the_file(ledger: Ledger, tmp_path: Path) -> None:
    memory = MemoryBus(ledger, echo(tmp_path))
    memory.submit([START])
    assert memory.drain(max_jobs=5) == 5
    again = MemoryBus(open_ledger(tmp_path), echo(tmp_path))
    assert again.drain(until=lambda: ledger.run_state(RUN) != "running") == 12


def test_every_doorbell_twice_changes_nothing(tmp_path: Path) -> None:
    logs = []
    for times, folder in ((1, tmp_path / "once"), (2, tmp_path / "twice")):
        folder.mkdir()
        ledger = open_ledger(folder)
        rings: list[Ring] = []
        worker = bus(ledger, echo(folder), rings)
        rings += ledger.submit([START])
        for ring in rings:  # grows while it is read
            assert [worker.process(ring.job_id) for _ in range(times)] == [True, False][:times]
        logs.append(log(ledger))
    assert logs[0] == logs[1]


def test_a_crash_between_handler_and_commit_runs_the_job_again(ledger: Ledger, tmp_path: Path) -> None:
    [ring] = ledger.submit([START])
    claim = ledger.claim(ring.job_id, "host/1/1")
    assert claim is not None
    echo(tmp_path)[e.RunStarted](claim.event)  # and here the process is killed
    ledger.overdue(lambda owner: True)
    worker = bus(ledger, echo(tmp_path))
    assert worker.process(ring.job_id)
    assert (tmp_path / "ran").read_text() == "run-1 RunStarted\n" * 2
    assert [type(event).__name__ for _, _, event in log(ledger)] == ["RunStarted", "BaseRequested"]


@pytest.mark.parametrize(
    "passing", [StoreUnavailableError("the store is unreachable"), OSError(errno.ENOSPC, "full")]
)
def test_what_passes_is_tried_again_more_often_than_there_are_attempts(
    tmp_path: Path, passing: Exception
) -> None:
    ledger = open_ledger(tmp_path, max_attempts=1)
    tries = []

    def store_away(event: Message) -> list[Message]:
        tries.append(event)
        if len(tries) < 3:
            raise passing
        return []

    memory = MemoryBus(ledger, {e.RunStarted: store_away}, hardly_any_wait)
    memory.submit([START])
    assert memory.drain() == 3
    assert ledger.jobs(RUN) == {("feedback", "done"): 1}


def test_an_error_that_does_not_pass_is_final_at_once(ledger: Ledger) -> None:
    def damaged(event: Message) -> list[Message]:
        raise ArtifactError("object is damaged", "restore it")

    rung: list[Ring] = []
    [ring] = ledger.submit([START])
    worker = bus(ledger, {e.RunStarted: damaged}, rung)
    assert worker.process(ring.job_id)
    assert worker.failure == Failure("object is damaged (restore it)", retry_s=None)
    assert not worker.process(ring.job_id)
    assert worker.failure is None  # the last job's: there was none to be done
    assert [(ring.service, ring.type) for ring in rung] == [("feedback", "job_died.v1")]
    died = ledger.events(RUN)[-1].event
    assert isinstance(died, e.JobDied)
    assert (died.reason, died.attempts) == ("object is damaged (restore it)", 1)


def test_a_bug_gets_all_attempts_and_then_the_job_dies(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, max_attempts=3)
    tries: list[Message] = []

    def bug(event: Message) -> list[Message]:
        tries.append(event)
        raise KeyError("oops")

    def on_job_died(event: e.JobDied) -> list[Message]:
        return [e.RunFinished(run_id=RUN, state="failed", why=event.reason)]

    memory = MemoryBus(ledger, {e.RunStarted: bug, e.JobDied: on_job_died}, hardly_any_wait)
    memory.submit([START])
    memory.drain()
    assert len(tries) == 3
    assert ledger.run_state(RUN) == "failed"
    assert ledger.events(RUN)[-1].event == e.RunFinished(run_id=RUN, state="failed", why="KeyError: 'oops'")


def test_handlers_that_can_not_be_built_fail_the_job_and_not_the_worker(ledger: Ledger) -> None:
    def no_box() -> Handlers:
        raise ArtifactError("no box here")

    [ring] = ledger.submit([START])
    assert Bus(ledger, no_box, lambda rings: None, "me").process(ring.job_id)
    assert ledger.jobs(RUN)["feedback", "dead"] == 1


def test_a_long_job_keeps_its_lease(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, lease_s=0.3)

    def slow(event: Message) -> list[Message]:
        time.sleep(0.8)
        assert ledger.overdue() == []  # no worker may take it
        return []

    [ring] = ledger.submit([START])
    assert bus(ledger, {e.RunStarted: slow}).process(ring.job_id)
    assert ledger.jobs(RUN) == {("feedback", "done"): 1}


def test_short_jobs_share_one_thread_for_their_leases_and_a_long_one_after_them_keeps_its_own(
    tmp_path: Path,
) -> None:
    ledger, threads = open_ledger(tmp_path, lease_s=0.6), set()

    def handle(event: e.RunStarted) -> list[Message]:
        threads.update(thread.ident for thread in threading.enumerate() if thread.name == "leases")
        time.sleep(0.05 if event.config else 1.5)
        assert ledger.overdue() == []
        return []

    rings = ledger.submit([e.RunStarted(run_id=RUN, config=config) for config in ("a", "b", "c", "d", "")])
    for ring in rings:
        assert bus(ledger, {e.RunStarted: handle}).process(ring.job_id)
    assert ledger.jobs(RUN) == {("feedback", "done"): 5}
    assert len(threads) == 1


def test_a_lost_lease_kills_the_children_and_drops_the_result(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, lease_s=0.3)
    ended = threading.Event()

    def with_child(event: Message) -> list[Message]:
        child = subprocess.Popen(["sleep", "60"], start_new_session=True)
        children.register(child.pid)
        with ledger.database.write() as connection:  # as if another worker had taken the job over
            connection.exec_driver_sql("UPDATE jobs SET fence = fence + 1")
        assert child.wait() == -9
        ended.set()
        return [e.BaseRequested(run_id=RUN, config="stale")]

    [ring] = ledger.submit([START])
    assert bus(ledger, {e.RunStarted: with_child}).process(ring.job_id)
    assert ended.is_set()
    assert [event for _, _, event in log(ledger)] == [START]
    assert ledger.jobs(RUN) == {("feedback", "leased"): 1}


def test_backoff_doubles_up_to_a_minute() -> None:
    assert [backoff_s(tries, 0.0) for tries in (1, 2, 3, 6, 7, 500)] == [1, 2, 4, 32, 60, 60]
    assert backoff_s(3, 0.25) == 3.0


def test_an_owner_is_gone_when_its_process_is() -> None:
    me = children.owner_name()
    assert not children.is_gone(me)
    assert children.is_gone(me + "0")  # a reused pid: same number, other start
    host, machine, pid, started = me.split("/")
    assert not children.is_gone(
        f"{host}/another-boot-or-namespace/{pid}/{started}0"
    )  # a copy of this machine
    assert not children.is_gone(f"{host}/{pid}/{started}0")  # as earlier versions wrote it
    assert children.is_gone(f"renamed/{machine}/{pid}/{started}0")

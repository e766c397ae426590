"""The ledger on a real PostgreSQL server, under what SQLite never meets: many writers at once, deadlocks, a
server that restarts, is unreachable or does not answer."""

import multiprocessing
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import update

from shared.errors import LedgerError
from shared.ledger.database import Database, tried_again
from shared.ledger.ledger import Ledger
from shared.ledger.names import LedgerNames
from shared.ledger.schema import runs
from shared.messages import events as e
from shared.messages.events import Join, Message
from tests.servers.postgres import PASSWORD, Postgres
from tests.servers.proxy import Fault, Proxy

RUN = "run-1"
WRITERS = 6


@pytest.fixture
def url(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return postgres.empty_ledger()


@pytest.fixture
def ledger(url: str) -> Ledger:
    ledger = Ledger(url)
    ledger.create_run(RUN)
    return ledger


def started(number: int) -> Message:
    return e.RunStarted(run_id=RUN, config=str(number))


def test_of_many_claims_at_once_one_gets_each_job(ledger: Ledger) -> None:
    jobs = [ring.job_id for ring in ledger.submit([started(number) for number in range(12)])]
    with ThreadPoolExecutor(WRITERS) as threads:
        claims = list(
            threads.map(lambda job: ledger.claim(job, threading.current_thread().name), jobs * WRITERS)
        )
    taken = [claim for claim in claims if claim]
    assert Counter(claim.job_id for claim in taken) == Counter(jobs)
    assert {claim.fence for claim in taken} == {1}


def drain(url: str, jobs: list[str], owner: str) -> None:
    """In a process of its own, forked from one that has open connections."""
    ledger = Ledger(url)
    for number, job in enumerate(jobs):
        claim = ledger.claim(job, owner)
        if claim:
            join = Join(id="j", slot=claim.event.config, expected=len(jobs))  # type: ignore[attr-defined]
            result = e.ShardFinished(run_id=RUN, purpose="train", result=f"{owner} {number}", join=join)
            ledger.commit(claim.job_id, claim.fence, [result])


def test_several_processes_do_every_job_once_and_one_of_them_makes_the_join(ledger: Ledger, url: str) -> None:
    jobs = [ring.job_id for ring in ledger.submit([started(number) for number in range(20)])]
    forked = multiprocessing.get_context("fork")
    workers = [forked.Process(target=drain, args=(url, jobs, f"host/{number}/0")) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    log = [logged.event for logged in ledger.events(RUN)]
    finished = [event for event in log if isinstance(event, e.ShardFinished)]
    [joined] = [event for event in log if isinstance(event, e.RolloutsJoined)]
    assert len(finished) == len(joined.arrivals) == 20
    assert ledger.jobs(RUN) == {("feedback", "done"): 20, ("feedback", "ready"): 1}
    assert ledger.run_state(RUN) == "running"  # the connections that were open before the fork still work


def test_a_reader_that_goes_on_from_what_it_saw_misses_nothing(ledger: Ledger) -> None:
    seen: list[int] = []
    done = threading.Event()

    def read() -> None:
        while True:
            last = done.is_set()
            seen.extend(logged.seq for logged in ledger.events(RUN, after=seen[-1] if seen else 0))
            if last:
                return

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(WRITERS) as threads:
        list(threads.map(lambda number: ledger.submit([started(number)]), range(60)))
    done.set()
    reader.join()
    assert seen == sorted(seen)
    assert len(seen) == 60


def test_transactions_that_block_each_other_are_done_anew(url: str) -> None:
    database = Database(url)
    ledger = Ledger(url)
    for name in ("a", "b"):
        ledger.create_run(name)
    both = threading.Barrier(2, timeout=10)
    tries: list[str] = []

    @tried_again
    def write(first: str, second: str) -> None:
        tries.append(first)
        with database.write() as connection:
            connection.execute(update(runs).where(runs.c.id == first).values(state=f"by {first}"))
            if len(tries) <= 2:
                both.wait()  # each holds what the other wants
            connection.execute(update(runs).where(runs.c.id == second).values(state=f"by {first}"))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, ("a", "b"), ("b", "a")))
    assert len(tries) == 3  # one was undone and came again
    assert ledger.run_state("a") == ledger.run_state("b")


def test_a_stack_rings_for_its_own_runs_only(url: str) -> None:
    ledger = Ledger(url, ring_s=0.0)
    for run, stack in (("mine", "stack-1"), ("theirs", "stack-2"), ("anybodys", "")):
        assert ledger.create_run(run, stack)
    rings = {
        run: ledger.submit([e.RunStarted(run_id=run, config="c")]) for run in ("mine", "theirs", "anybodys")
    }
    assert ledger.overdue(stack="stack-1") == rings["mine"] + rings["anybodys"]
    assert not ledger.create_run("theirs", "stack-1")  # it is there, and stays theirs
    assert ledger.overdue(stack="stack-1") == rings["mine"] + rings["anybodys"]
    ledger.hand_over("theirs", "stack-1")
    assert ledger.overdue(stack="stack-1") == rings["mine"] + rings["theirs"] + rings["anybodys"]


def test_what_another_transaction_has_in_hand_is_not_waited_for(ledger: Ledger) -> None:
    first, second = Ledger(ledger.database.engine.url.render_as_string(False), ring_s=0.0).submit(
        [started(1), started(2)]
    )
    with ledger.database.write() as connection:
        connection.exec_driver_sql(f"SELECT * FROM jobs WHERE id = '{first.job_id}' FOR UPDATE")
        assert ledger.overdue() == [second]


def test_a_server_that_restarts_is_used_again_at_once(ledger: Ledger, postgres: Postgres) -> None:
    postgres.stop()
    postgres.start()
    assert ledger.run_state(RUN) == "running"  # on a new connection: the old one is dead and reports it late
    postgres.stop()
    try:
        with pytest.raises(LedgerError, match="is the database up") as caught:
            ledger.run_state(RUN)
    finally:
        postgres.start()
    assert caught.value.transient
    assert ledger.run_state(RUN) == "running"
    assert len(ledger.submit([started(1)])) == 1


def test_a_server_that_does_not_answer_is_given_up(postgres: Postgres) -> None:
    with Proxy(postgres.port) as proxy:
        proxy.rest = Fault(silent=True)
        began_s = time.monotonic()
        with pytest.raises(LedgerError, match="timeout expired") as caught:
            Ledger(f"postgresql+psycopg://owner@127.0.0.1:{proxy.port}/ledger").run_state(RUN)
    assert caught.value.transient
    assert time.monotonic() - began_s < 60


def test_a_client_that_freezes_inside_a_transaction_is_ended_by_the_server(ledger: Ledger) -> None:
    with ledger.database.read() as connection:
        limits = [
            connection.exec_driver_sql(f"SHOW {name}").scalar_one()
            for name in ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout")
        ]
    assert limits == ["15s", "30s", "1min"]


def test_names_are_bound_once_by_the_first_writer(url: str, tmp_path: Path) -> None:
    names = LedgerNames(Database(url))
    with ThreadPoolExecutor(WRITERS) as threads:
        bound = set(threads.map(lambda number: names.bind("reply", "k", f"digest {number}"), range(24)))
    assert bound == {names.lookup("reply", "k")}
    assert names.lookup("reply", "another") is None

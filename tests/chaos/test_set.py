"""A set, in Jepsen's manner: eight processes commit jobs while processes are killed and frozen past their
leases, while PostgreSQL is killed again and again, while answers to COMMIT are lost. What was acknowledged is
there exactly once; what is unknown is there at most once; a run in which too little succeeded says nothing.
"""

import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ratchet.chaos.proxy import Proxy
from shared.children import die_with_parent
from shared.ledger.ledger import Ledger
from shared.messages import events as e
from tests.servers.postgres import Postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PROCESSES, JOBS, LEASE_S, LIMIT_S = 8, 160, 1.0, 90.0
FEWEST = 0.5  # of the jobs, acknowledged: or the faults were all that happened
FEWEST_FAULTS = 4
Break = Callable[[list["Worker"], random.Random], int]  # how many faults that was


class Worker:
    """One process; a killed one is started again."""

    def __init__(self, kind: str, url: str, acks: Path) -> None:
        self.argv = [sys.executable, "-m", "tests.chaos.set_worker", kind, url, str(acks), str(LEASE_S)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self.argv, preexec_fn=die_with_parent, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def workers(kind: str, url: str, folder: Path) -> Iterator[list[Worker]]:
    made = [Worker(kind, url, folder / f"acks-{number}") for number in range(PROCESSES)]
    try:
        yield made
    finally:
        for worker in made:
            worker.kill()


def kill_or_freeze(made: list[Worker], chance: random.Random) -> int:
    """One is killed and three are frozen until their leases have run out and others have had the jobs."""
    killed, *frozen = chance.sample(made, 4)
    killed.kill()
    killed.start()
    for worker in frozen:
        os.kill(worker.process.pid, signal.SIGSTOP)
    time.sleep(LEASE_S + 0.5)
    for worker in frozen:
        os.kill(worker.process.pid, signal.SIGCONT)
    return 4


def run(kind: str, url: str, folder: Path, breaks: Break, truth: str = "") -> list[str]:
    """Submit, break something again and again until all is done; the broken promises. `truth`: the ledger's
    own URL, where the workers' leads through a proxy."""
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    ledger, chance = Ledger(truth or url), random.Random(seed)
    ledger.create_schema()
    ledger.create_run("set")
    ledger.submit([e.RunStarted(run_id="set", config=str(number)) for number in range(JOBS)])
    end_s = time.monotonic() + LIMIT_S
    with workers(kind, url, folder) as made:
        faults = 0
        while not idle(ledger) and time.monotonic() < end_s:
            faults += breaks(made, chance)
    acknowledged = [line for path in folder.glob("acks-*") for line in path.read_text().splitlines()]
    log = [logged.event for logged in ledger.events("set")]
    found = violations([event.why for event in log if isinstance(event, e.ReleaseRejected)], acknowledged)
    return [*found, *([f"only {faults} faults"] if faults < FEWEST_FAULTS else [])]


def idle(ledger: Ledger) -> bool:
    with suppress(Exception):
        return ledger.jobs("set").get(("feedback", "done"), 0) >= JOBS
    return False


def violations(there: list[str], acknowledged: list[str]) -> list[str]:
    """Both: `job fence process` of each commit."""
    found = []
    times, of_job = Counter(there), Counter(line.split()[0] for line in there)
    lost = [line for line in acknowledged if times[line] != 1]
    if lost:
        found.append(f"{len(lost)} acknowledged commits are not there exactly once, the first: {lost[0]}")
    twice = [job for job, count in of_job.items() if count > 1]
    if twice:
        found.append(f"{len(twice)} jobs have more than one effect")
    if len(acknowledged) < FEWEST * JOBS:
        found.append(f"only {len(acknowledged)} of {JOBS} commits were acknowledged")
    if len(of_job) < JOBS:
        found.append(f"{JOBS - len(of_job)} of {JOBS} jobs were not done in time")
    return found


def test_processes_killed_and_frozen_past_their_leases(ledger_url: str, tmp_path: Path) -> None:
    assert run("Ledger", ledger_url, tmp_path, kill_or_freeze) == []


def test_postgresql_killed_again_and_again(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def restart(made: list[Worker], chance: random.Random) -> int:
        time.sleep(0.5 + chance.random())
        postgres.stop()
        postgres.start()
        return 1

    monkeypatch.setenv("PGPASSWORD", postgres.password)
    assert run("Ledger", postgres.empty_ledger(), tmp_path, restart) == []


def test_connections_cut_after_commit_was_sent(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", postgres.password)
    truth = postgres.empty_ledger()
    with Proxy(postgres.port) as proxy:

        def lose_answers(made: list[Worker], chance: random.Random) -> int:
            before = proxy.lost_commits
            proxy.lose_commits(3)
            time.sleep(0.2)
            return proxy.lost_commits - before

        through = postgres.url("ledger", port=proxy.port)
        assert run("Ledger", through, tmp_path, lose_answers, truth) == []


def test_a_ledger_that_does_not_check_its_commits_is_found(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    found = run("Unchecked", url, tmp_path, kill_or_freeze)
    assert any("more than one effect" in line for line in found), found


def test_the_checker_names_what_is_broken() -> None:
    commits = [f"job{number} 1 7" for number in range(JOBS)]
    assert violations(commits, commits) == []
    assert violations(commits, commits[:-1]) == []  # unknown, and there
    assert "acknowledged commits are not there" in violations(commits[1:], commits)[0]
    assert "more than one effect" in violations([*commits, "job1 2 8"], commits)[0]
    assert "acknowledged commits are not there" in violations([*commits, commits[0]], commits)[0]
    assert "only 3 of" in violations(commits, commits[:3])[0]

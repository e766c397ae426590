"""kill -9 of everything, of a worker, of the broker; lost doorbells: every job ends done, with one effect.

All on one stack, which itself is the resumption of one that was killed.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from ratchet.stack.local import LocalStack
from ratchet.stack.processes import Program
from shared.config.secrets import broker_url
from shared.messages.events import JobDied
from tests.live.stack.echo_service import DEADLY
from tests.live.stack.run_stack import EchoRun, echo_stack


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="module")
def killed(folder: Path) -> list[psutil.Process]:
    """The processes of a stack whose supervisor was killed in the middle of a run."""
    program = f"from tests.chaos.test_kills import supervise; supervise({str(folder)!r})"
    supervisor = subprocess.Popen([sys.executable, "-c", program])
    try:
        end_s = time.monotonic() + 60
        while EchoRun(folder, "killed").ran("CandidatesProposed") < 1:
            assert time.monotonic() < end_s, EchoRun(folder, "killed").logs()
            time.sleep(0.02)
        family: list[psutil.Process] = psutil.Process(supervisor.pid).children(recursive=True)
        return family
    finally:
        os.kill(supervisor.pid, signal.SIGKILL)
        supervisor.wait()


@pytest.fixture(scope="module")
def stack(folder: Path, killed: list[psutil.Process]) -> Iterator[LocalStack]:
    with echo_stack(folder) as stack:
        yield stack


def supervise(folder: str) -> None:
    """The main of a process that drives a run for ever."""
    with echo_stack(Path(folder)) as stack:
        EchoRun(Path(folder), "killed").start(stack, seconds_a_shard=0.5)
        while True:
            stack.tick()
            time.sleep(0.1)


def program(stack: LocalStack, name: str) -> Program:
    [found] = [program for program in stack.programs if program.name == name]
    return found


def test_nothing_outlives_a_killed_supervisor(killed: list[psutil.Process]) -> None:
    assert len(killed) >= 9  # broker, four parents, four children
    assert not psutil.wait_procs(killed, timeout=5)[1]


def test_a_run_whose_every_process_was_killed_goes_on(folder: Path, stack: LocalStack) -> None:
    run = EchoRun(folder, "killed")
    run.finish(stack)
    run.assert_every_effect_once()


def test_a_worker_killed_in_mid_job(folder: Path, stack: LocalStack) -> None:
    run = EchoRun(folder, "worker")
    run.start(stack, seconds_a_shard=0.3)
    run.until(stack, lambda: run.ran("ShardOpened") == 1)
    agent, sandbox = program(stack, "agent").process, program(stack, "sandbox").process
    assert agent is not None
    assert sandbox is not None
    agent.kill()  # the parent, and by that its child
    run.until(stack, lambda: run.ran("CandidatesProposed") == 2)
    [child] = psutil.Process(sandbox.pid).children()
    child.kill()  # the child alone: its parent makes another
    run.finish(stack)
    run.assert_every_effect_once()
    assert run.ran("ShardOpened") > 4  # code ran again, and counted once
    assert program(stack, "agent").deaths == 1


def test_a_broker_killed_and_every_doorbell_lost(folder: Path, stack: LocalStack) -> None:
    run = EchoRun(folder, "broker")
    run.start(stack, seconds_a_shard=0.3)
    run.until(stack, lambda: run.ran("ShardOpened") == 1)
    broker = program(stack, "broker").process
    assert broker is not None
    broker.kill()
    run.until(stack, lambda: run.ran("CandidatesProposed") == 1)
    with redis.Redis.from_url(broker_url(stack.settings)) as client:
        run.until(stack, lambda: bool(client.ping()))
        client.flushall()
    run.finish(stack)
    run.assert_every_effect_once()


@pytest.mark.slow
def test_a_job_that_always_kills_its_worker_is_given_up_and_the_queue_moves_on(
    folder: Path, stack: LocalStack
) -> None:
    deadly, harmless = EchoRun(folder, "deadly"), EchoRun(folder, "harmless")
    deadly.start(stack, seconds_a_shard=float(DEADLY))
    harmless.start(stack, seconds_a_shard=0)
    deadly.finish(stack)
    harmless.finish(stack)
    harmless.assert_every_effect_once()
    assert deadly.ledger.run_state("deadly") == "failed"
    died = deadly.events("JobDied")[0].event
    assert isinstance(died, JobDied)
    assert (died.service, died.attempts, died.reason) == ("agent", 4, "the worker vanished")

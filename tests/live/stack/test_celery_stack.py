"""Real Valkey, real Celery workers, the stand-in services: the chain ends, and nothing outlives the stack."""

import json
import stat
from pathlib import Path

import psutil
import pytest
import redis

from ratchet.stack.broker import Broker
from ratchet.stack.processes import MOST_QUICK_DEATHS, Program, stop_all
from shared.bus.start_checks import check_broker
from shared.config.secrets import broker_url
from shared.config.settings import StackParts
from shared.errors import RatchetError, SettingsError
from tests.live.stack.run_stack import EchoRun, echo_stack


def test_a_run_goes_through_four_workers_and_leaves_no_process(tmp_path: Path) -> None:
    run = EchoRun(tmp_path, "run-1")
    with echo_stack(tmp_path) as stack:
        started = [program.process.pid for program in stack.programs if program.process]
        run.start(stack, seconds_a_shard=0)
        run.finish(stack)
        family = [psutil.Process(pid) for pid in started]
        family += [child for process in family for child in process.children(recursive=True)]
    run.assert_every_effect_once()
    assert run.ran("ShardOpened") == 4
    assert len(family) >= 9  # broker, four parents, four children
    assert not [process for process in family if process.is_running()]
    settings = tmp_path / "stack.json"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    named = json.loads(settings.read_text())["broker_password"].removeprefix("file:")
    assert stat.S_IMODE(Path(named).stat().st_mode) == 0o600
    assert Path(named).read_text(encoding="utf-8") not in settings.read_text()


def test_a_broker_that_may_drop_queues_is_refused(tmp_path: Path) -> None:
    broker = Broker(tmp_path / "broker", tmp_path / "broker.log")
    try:
        broker.program.keep_running()
        broker.wait()
        parts = StackParts(**broker.settings)
        assert check_broker(parts) == []
        with redis.Redis.from_url(broker_url(parts)) as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(SettingsError, match="CONFIG SET maxmemory-policy noeviction"):
            check_broker(parts)
    finally:
        stop_all([broker.program])
        broker.holder.close()


def test_a_program_that_always_dies_is_given_up_with_its_last_words(tmp_path: Path) -> None:
    program = Program("hopeless", ["sh", "-c", "echo no such device; exit 3"], tmp_path / "log")
    for _ in range(MOST_QUICK_DEATHS - 1):
        program.start_after_s = 0.0  # do not wait for the back-off
        assert program.keep_running()
        assert program.process is not None
        program.process.wait()
        assert not program.keep_running()
    program.start_after_s = 0.0
    program.keep_running()
    assert program.process is not None
    program.process.wait()
    with pytest.raises(RatchetError, match=r"hopeless died 6 times in a row \(3\): no such device"):
        program.keep_running()

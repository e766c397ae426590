"""The state of a stack: where it is, whether it is up, and which processes are swept after a killed
supervisor."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from agent_service.worker import endpoint_of
from ratchet.stack import side_programs, up_down
from ratchet.stack import state as stack_state
from ratchet.stack.state import ProgramState, StackState
from shared.config.settings import ModelSection, StackSettings
from shared.errors import ChatUnavailableError, RatchetError, SettingsError
from shared.model import served as served_models
from shared.model.served import ServedModel

HOLD = """
import sys, time
from pathlib import Path
from ratchet.stack.state import sole_supervisor
with sole_supervisor(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def state_of(process: psutil.Process, pid: int = 1) -> StackState:
    about = {"name": "broker", "deaths": 0, "log": ""}
    program = ProgramState(pid=process.pid, created_at=process.create_time(), **about)
    return StackState(phase="up", pid=pid, created_at=0, started_at=0, programs=[program])


def test_a_stack_is_up_while_its_supervisor_lives_however_that_ends(tmp_path: Path) -> None:
    assert not stack_state.is_up(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            assert stack_state.is_up(tmp_path)
            with pytest.raises(SettingsError, match="is up already"), stack_state.sole_supervisor(tmp_path):
                pass
        finally:
            holder.send_signal(signal.SIGKILL)
    assert not stack_state.is_up(tmp_path)


def test_what_outlived_its_supervisor_is_ended_and_no_other_process(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as left:
        stack_state.write_state(tmp_path, state_of(psutil.Process(left.pid)))
        assert up_down.sweep(tmp_path) == [left.pid]
        assert left.wait() == -signal.SIGKILL
    assert stack_state.read_state(tmp_path) is None
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        stale = state_of(psutil.Process(other.pid))
        stale.programs[0].created_at -= 100  # another process that had this pid
        stack_state.write_state(tmp_path, stale)
        up_down.sweep(tmp_path)
        assert other.poll() is None
        other.kill()


def test_a_stack_that_can_not_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    wrong = tmp_path / "mine.toml"
    wrong.write_text('broker_url = "redis://127.0.0.1:1/0"')
    with pytest.raises(RatchetError, match=r"the broker redis://127.0.0.1:1/0 can't be used") as failed:
        up_down.up(tmp_path / "stack", wrong, None, None)
    assert "is it running" in failed.value.hint
    assert not stack_state.is_up(tmp_path / "stack")
    assert "is not up" in up_down.down(tmp_path / "stack")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('ledger_url = "sqlite:///x"', "broker_url: Field required"),
        ('ledger = "sqlite:///x"', "ledger: Extra inputs are not permitted"),
        ('ledger_url = "postgresql+psycopg://u:secret@h/d"', "no password may stand in a URL"),
        ("ledger_url =", "is not TOML"),
    ],
)
def test_a_file_that_names_no_stack_is_refused_by_its_keys(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "remote.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        stack_state.settings_of(file)
    assert message in str(refused.value)
    assert "secret@" not in str(refused.value)


def test_a_stack_on_parts_of_ones_own_takes_the_rest_from_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[stack]\nstore_url = "s3://runs/a?endpoint=http://127.0.0.1:9"\nlease_s = 30')
    mine = up_down.settings_for(tmp_path / "stack", file)
    assert (mine.store_url, mine.lease_s) == ("s3://runs/a?endpoint=http://127.0.0.1:9", 30)
    assert mine.ledger_url == f"sqlite:///{tmp_path}/stack/ledger.sqlite"
    assert mine.queue_prefix != up_down.settings_for(tmp_path / "other", None).queue_prefix
    for wrong in ('ledger = "x"', "lease_s = -1", 'broker_url = "redis://:secret@h/0"'):
        file.write_text(wrong)
        with pytest.raises(SettingsError, match="does not describe a stack"):
            up_down.settings_for(tmp_path / "stack", file)


def test_a_place_without_a_stack_says_how_to_start_one(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SettingsError, match="no stack in"):
            stack_state.require_up(place)


def test_a_port_in_use_is_named_with_its_option() -> None:
    free = side_programs.take_port(0, "--flower-port")
    assert side_programs.take_port(free, "--flower-port") == free
    message = rf"port {free} of 127.0.0.1 can't be used.*another --flower-port"
    with socket.create_server(("127.0.0.1", free)), pytest.raises(SettingsError, match=message):
        side_programs.take_port(free, "--flower-port")


def test_flowers_password_is_printed_once_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / side_programs.PASSWORD_FILE
    first, second = (side_programs.plan_flower(tmp_path, 0).notice for _ in range(2))
    made = file.read_text().strip()
    assert (made in first, made in second, str(file) in second) == (True, False, True)
    monkeypatch.setenv(side_programs.PASSWORD_VARIABLE, "mine")
    assert "mine" not in side_programs.plan_flower(tmp_path, 0).notice
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("mine\n", 0o600)


def test_each_base_has_its_server_and_a_runs_own_endpoint_wins(tmp_path: Path) -> None:
    where = {"ledger_url": "sqlite:///x", "store_url": "s", "broker_url": "", "cache_dir": tmp_path}
    stack = StackSettings(**where, models_dir=tmp_path)
    with pytest.raises(ChatUnavailableError, match="no server has the base model abc"):
        endpoint_of(ModelSection(), "abc", stack)
    served = {base: ServedModel(url=f"http://127.0.0.1/{base}", name=base) for base in ("abc", "def")}
    for base, model in served.items():
        served_models.announce(tmp_path, base, model)
    assert {base: endpoint_of(ModelSection(), base, stack) for base in served} == served
    own = ModelSection(url="http://mine/v1", name="big")
    assert endpoint_of(own, "abc", stack) == ServedModel(url="http://mine/v1", name="big")
    moved = stack.model_copy(update={"moved_model_url": "http://there/v1"})
    assert endpoint_of(own, "abc", moved).url == "http://there/v1"
    assert endpoint_of(ModelSection(), "abc", moved) == served["abc"]
    served_models.withdraw(tmp_path, "abc")
    with pytest.raises(ChatUnavailableError):
        endpoint_of(ModelSection(), "abc", stack)

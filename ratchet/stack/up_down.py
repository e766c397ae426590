"""`ratchet up` and `ratchet down`: start and stop the supervisor of a standing stack, wait until it is
healthy or has ended, and end the processes that a killed supervisor left. Idempotent.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import typer

from ratchet.stack import state as stack_state
from ratchet.stack.processes import TERM_S
from ratchet.stack.state import StackState
from ratchet.stack.supervisor import HEALTHY_S, SOFT_S, Extra, Plan
from shared.config.secrets import open_ledger
from shared.config.settings import StackSettings
from shared.errors import LedgerError, RatchetError, SettingsError
from shared.messages.records import digest_of

POLL_S = 0.1
DOWN_S = SOFT_S + 3 * TERM_S + 10  # workers, model servers, broker, and some slack


def up(
    folder: Path, config: Path | None, flower_port: int | None, metrics_port: int | None
) -> dict[str, Any]:
    """Start the stack in `folder` unless it is up; returns its state as `describe` gives it."""
    from shared.box.open import open_box

    folder = folder.resolve()
    if stack_state.is_up(folder):
        wait_until_healthy(folder, None)
        _require_extras(folder, flower_port is not None, metrics_port is not None)
        typer.echo(f"the stack in {folder} is up already", err=True)
        return describe(folder)
    open_box()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if sweep(folder):
        typer.echo(
            "the last supervisor was killed, and all that it had started has ended; starting anew", err=True
        )
    plan = Plan(settings=settings_for(folder, config), extras=_extras(folder, flower_port, metrics_port))
    (folder / stack_state.STATE).unlink(missing_ok=True)
    supervisor = start_supervisor(folder, plan)
    try:
        wait_until_healthy(folder, supervisor)
    except BaseException:
        _end(supervisor.pid, lambda: supervisor.poll() is not None)
        raise
    return describe(folder)


def settings_for(folder: Path, config: Path | None) -> StackSettings:
    """All parts in the folder, but those that the user's TOML file names. Raises SettingsError."""
    given = stack_state.read_table(config) if config else {}
    own = {
        "ledger_url": f"sqlite:///{folder / 'ledger.sqlite'}",
        "store_url": str(folder / "store"),
        "broker_url": "",
        "queue_prefix": f"ratchet:{folder.name}-{digest_of(str(folder))[:12]}:",
        "cache_dir": folder / "cache",
        "signing_key": f"file:{folder}/keys/adapters.key",
        "reconcile_s": 2.0,
    }
    return stack_state.checked(config or folder, lambda: StackSettings.model_validate(own | given))


def start_supervisor(folder: Path, plan: Plan) -> subprocess.Popen[bytes]:
    """In a session of its own: neither Ctrl-C nor the terminal's end reaches it."""
    (folder / "logs").mkdir(exist_ok=True)
    with (folder / "logs" / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ratchet.stack.supervisor", str(folder)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(plan.model_dump_json().encode())
    return process


def wait_until_healthy(folder: Path, supervisor: subprocess.Popen[bytes] | None) -> None:
    """Raises RatchetError with the supervisor's reason where it gave up."""
    end_s = time.monotonic() + HEALTHY_S + 30
    while True:
        state = stack_state.read_state(folder)
        if state and state.phase == "up":
            return
        if state and state.phase == "failed":
            raise RatchetError(state.problem, state.hint)
        gone = supervisor.poll() is not None if supervisor else not stack_state.is_up(folder)
        if gone or time.monotonic() > end_s:
            raise RatchetError("the stack did not start", f"see {folder}/logs/supervisor.log")
        time.sleep(POLL_S)


def down(folder: Path) -> str:
    """Stop the stack in order; returns a sentence about what was done."""
    folder = folder.resolve()
    if not stack_state.is_up(folder):
        if sweep(folder):
            return f"the stack in {folder} had lost its supervisor; its remaining processes were ended"
        return f"the stack in {folder} is not up"
    state = _state_of_running(folder)
    _end(state.pid, lambda: not stack_state.is_up(folder) and not _lives(state.pid, state.created_at))
    sweep(folder)
    try:
        waiting = [run for run, state in ledger_states(folder).items() if state == "running"]
    except RatchetError:  # it is down all the same
        waiting = []
    goes_on = f"; {', '.join(waiting)} will go on after the next `ratchet up`" if waiting else ""
    return f"the stack in {folder} is down{goes_on}"


def sweep(folder: Path) -> list[int]:
    """End processes that outlived their supervisor; returns their pids. Normally there are none: the kernel
    ends them with it."""
    state = stack_state.read_state(folder)
    left = []
    for program in state.programs if state else []:
        if program.pid and _lives(program.pid, program.created_at):
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            left.append(program.pid)
    crashed = state is not None and state.phase != "failed"
    (folder / stack_state.STATE).unlink(missing_ok=True)
    return left or ([state.pid] if state and crashed else [])


def describe(folder: Path) -> dict[str, Any]:
    """`ratchet up --json` and `ratchet show STACK --json`."""
    folder = folder.resolve()
    state = stack_state.read_state(folder) if stack_state.is_up(folder) else None
    try:
        runs = ledger_states(folder)
    except LedgerError as error:
        runs = {"?": str(error)}
    about: dict[str, Any] = {"stack": str(folder), "state": state.phase if state else "down", "runs": runs}
    return about | (state.model_dump(exclude={"phase"}) if state else {})


def ledger_states(folder: Path) -> dict[str, str]:
    settings = stack_state.settings_of(folder)
    return open_ledger(settings).run_states(settings.queue_prefix)


def _lives(pid: int, created_at: float) -> bool:
    """Whether that process still runs: another one may have its pid by now."""
    try:
        process = psutil.Process(pid)
        same: bool = abs(process.create_time() - created_at) < 1 and process.status() != psutil.STATUS_ZOMBIE
        return same
    except psutil.NoSuchProcess:
        return False


def _state_of_running(folder: Path) -> StackState:
    """It writes its state first of all."""
    end_s = time.monotonic() + TERM_S
    while (state := stack_state.read_state(folder)) is None:
        if time.monotonic() > end_s:
            raise RatchetError(f"the supervisor of {folder} has not written its state", "end it by hand")
        time.sleep(POLL_S)
    return state


def _end(pid: int, is_gone: Callable[[], bool]) -> None:
    """SIGTERM; SIGKILL where that does not help, upon which the kernel ends all that it started."""
    for number, patience_s in ((signal.SIGTERM, DOWN_S), (signal.SIGKILL, TERM_S)):
        if is_gone():
            return
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        end_s = time.monotonic() + patience_s
        while not is_gone() and time.monotonic() < end_s:
            time.sleep(POLL_S)


def _extras(folder: Path, flower_port: int | None, metrics_port: int | None) -> dict[str, Extra]:
    from ratchet.stack import side_programs as side

    found = {}
    if flower_port is not None:
        flower = side.plan_flower(folder, flower_port)
        typer.echo(flower.notice, err=True)
        about = {"arguments": flower.arguments, "port": flower.port, "probe": "/healthcheck"}
        found["flower"] = Extra(url=flower.url, **about)
    if metrics_port is not None:
        port = side.take_port(metrics_port, "--metrics-port")
        url = f"http://127.0.0.1:{port}/metrics"
        about = {"arguments": side.metrics_arguments(port), "port": port, "probe": "/metrics"}
        found["metrics"] = Extra(url=url, **about)
    return found


def _require_extras(folder: Path, flower: bool, metrics: bool) -> None:
    state = stack_state.read_state(folder)
    if state and ((flower and not state.flower_url) or (metrics and not state.metrics_url)):
        raise SettingsError(
            f"the stack in {folder} is up without that", f"`ratchet down {folder}` first, then up again"
        )

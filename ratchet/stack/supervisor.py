"""The process behind `ratchet up`: keeps a local stack running until SIGTERM and records its state. It reads
the plan from stdin: `python -m ratchet.stack.supervisor FOLDER < plan.json`. It gives up only before the
stack was up.
"""

from __future__ import annotations

import http.client
import logging
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
from pydantic import BaseModel

from ratchet.stack import state as stack_state
from ratchet.stack.local import WORKERS, LocalStack
from ratchet.stack.state import ProgramState, StackState
from shared import logs
from shared.bus.celery_app import services_online
from shared.config.secrets import open_ledger
from shared.config.settings import StackSettings
from shared.errors import RatchetError
from shared.ledger.migrate import settle_schema

SOFT_S = 25.0  # for the jobs that run when the stack ends; a longer one is run again after the next start
HEALTHY_S = 120.0  # to become healthy, on a slow and busy machine
MOST_EARLY_DEATHS = 3  # before the stack was up; later nothing is given up
POLL_S = 0.5
HOPELESS_S = 10.0  # between two retries of what can't be kept alive
_log = logging.getLogger(__name__)


class Extra(BaseModel):
    """A program that a stack may be without, and where it answers."""

    arguments: list[str]
    url: str
    port: int
    probe: str


class Plan(BaseModel):
    settings: StackSettings
    workers: Mapping[str, Sequence[str]] = WORKERS
    extras: dict[str, Extra] = {}


def main() -> int:
    folder = Path(sys.argv[1])
    plan = Plan.model_validate_json(sys.stdin.read())
    logs.set_up("supervisor", plan.settings.log_format)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    try:
        with stack_state.sole_supervisor(folder):
            _supervise(folder, plan, ending)
    except RatchetError as error:
        _log.error("%s", error)
        return error.exit_code
    return 0


def _supervise(folder: Path, plan: Plan, ending: threading.Event) -> None:
    report = _Report(folder, plan)
    report.write("starting")
    arguments = {name: extra.arguments for name, extra in plan.extras.items()}
    try:
        settle_schema(open_ledger(plan.settings).database)
        with LocalStack(folder, plan.settings, plan.workers, arguments, SOFT_S) as stack:
            report.stack = stack
            _become_healthy(stack, plan, ending)
            _log.info("up")
            _hold(stack, report, ending)
            _log.info("ending: running jobs get %.0f s", SOFT_S)
            report.write("stopping")
    except RatchetError as error:
        report.stack = None
        report.write("failed", error)
        raise
    (folder / stack_state.STATE).unlink(missing_ok=True)


def _become_healthy(stack: LocalStack, plan: Plan, ending: threading.Event) -> None:
    """Until a worker of each service answers over the broker, and each extra on its port."""
    end_s = time.monotonic() + HEALTHY_S
    while not ending.is_set():
        stack.tick()
        absent = plan.workers.keys() - services_online(stack.app)
        absent |= {name for name, extra in plan.extras.items() if not _answers(extra)}
        if not absent:
            return
        silent = [program for program in stack.programs if program.name in absent]
        if time.monotonic() > end_s or any(p.quick_deaths >= MOST_EARLY_DEATHS for p in silent):
            logged = "; ".join(f"{program.name} ({program.last_line()})" for program in silent)
            raise RatchetError(f"no answer from {logged}", f"see {stack.logs}")
        ending.wait(POLL_S / 2)


def _answers(extra: Extra) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", extra.port, timeout=2)
    try:
        connection.request("GET", extra.probe)
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _hold(stack: LocalStack, report: _Report, ending: threading.Event) -> None:
    """Keep it up. A program that can't be kept alive is restarted for ever: the rest of the stack works
    meanwhile."""
    while not ending.wait(POLL_S):
        try:
            stack.tick()
        except RatchetError as error:
            _log.error("%s", error)
            report.write("up", error)
            report.trouble_until_s = time.monotonic() + HOPELESS_S
        else:
            report.write("up")


class _Report:
    """Writes the state file when something in it has changed."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.stack: LocalStack | None = None
        self.trouble_until_s = 0.0
        me = psutil.Process()
        urls = {f"{name}_url": extra.url for name, extra in plan.extras.items()}
        self.state = StackState(
            phase="starting", pid=me.pid, created_at=me.create_time(), started_at=time.time(), **urls
        )
        self._written: StackState | None = None

    def write(self, phase: str, error: RatchetError | None = None) -> None:
        """A problem is reported for a while after it was last seen."""
        changes = {"phase": phase, "programs": self._programs()}
        if error is not None:
            changes |= {"problem": error.message, "hint": error.hint}
        elif time.monotonic() > self.trouble_until_s:
            changes |= {"problem": "", "hint": ""}
        self.state = self.state.model_copy(update=changes)
        if self.state != self._written:
            stack_state.write_state(self.folder, self.state)
            self._written = self.state

    def _programs(self) -> list[ProgramState]:
        found = []
        for program in self.stack.programs if self.stack else []:
            pid = program.process.pid if program.process else None
            try:
                created_at = psutil.Process(pid).create_time() if pid else 0.0
            except psutil.NoSuchProcess:
                pid, created_at = None, 0.0
            about = {"name": program.name, "deaths": program.deaths, "log": str(program.log)}
            found.append(ProgramState(pid=pid, created_at=created_at, **about))
        return found


if __name__ == "__main__":
    sys.exit(main())

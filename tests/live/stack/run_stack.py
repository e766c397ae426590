"""Helpers of the live and chaos tests: runs of the stand-in services on a real local stack."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ratchet.stack.local import LocalStack
from shared.config.settings import StackSettings
from shared.ledger.ledger import Ledger, LoggedEvent
from shared.messages.events import RunStarted
from shared.messages.routes import SERVICES

WORKERS: dict[str, list[str]] = {name: ["-m", "tests.live.stack.echo_service", name] for name in SERVICES}


def settings_in(folder: Path) -> StackSettings:
    """Short leases and a quick reconciler."""
    return StackSettings(
        ledger_url=f"sqlite:///{folder / 'ledger.sqlite'}",
        store_url=str(folder / "store"),
        broker_url="",
        cache_dir=folder / "cache",
        lease_s=3.0,
        reconcile_s=0.5,
    )


def echo_stack(folder: Path) -> LocalStack:
    """A stack that is to be entered; it serves any number of runs."""
    settings = settings_in(folder)
    Ledger(settings.ledger_url).create_schema()
    return LocalStack(folder, settings, WORKERS)


class EchoRun:
    """One run of the stand-in services."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self.ledger = Ledger(settings_in(folder).ledger_url)

    def start(self, stack: LocalStack, seconds_a_shard: float) -> None:
        self.ledger.create_run(self.name)
        stack.ring(self.ledger.submit([RunStarted(run_id=self.name, config=str(seconds_a_shard))]))

    def until(self, stack: LocalStack, true: Callable[[], bool], limit_s: float = 90) -> None:
        """Supervise the stack until something is true."""
        end_s = time.monotonic() + limit_s
        while not true():
            assert time.monotonic() < end_s, f"still not true after {limit_s} s; {self.logs()}"
            stack.tick()
            time.sleep(0.05)

    def finish(self, stack: LocalStack) -> None:
        self.until(stack, lambda: self.ledger.run_state(self.name) != "running")

    def ran(self, kind: str) -> int:
        """How often a handler was begun."""
        path = self.folder / "cache" / "ran"
        lines = path.read_text().splitlines() if path.exists() else []
        return lines.count(f"{self.name} {kind}")

    def events(self, kind: str) -> list[LoggedEvent]:
        return [logged for logged in self.ledger.events(self.name) if type(logged.event).__name__ == kind]

    def logs(self) -> str:
        return "\n".join(
            f"== {path.name}\n{path.read_text()[-3000:]}" for path in self.folder.glob("logs/*.log")
        )

    def assert_every_effect_once(self) -> None:
        """The whole chain, each link once, and nothing left open."""
        assert self.ledger.run_state(self.name) == "done", self.logs()
        finished = self.events("RunFinished")
        assert [logged.event.model_dump()["why"] for logged in finished] == ["slots 0,1,2,3"]
        for kind in ("ShardOpened", "CandidatesProposed", "CandidatesScored", "ShardFinished"):
            assert len(self.events(kind)) == 4, kind
        assert len(self.events("RolloutsJoined")) == 1
        assert {state for _, state in self.ledger.jobs(self.name)} == {"done"}

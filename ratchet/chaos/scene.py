"""What is to be broken: a broker, a ledger, workers on the real bus, and a proxy before each server. Short
leases and a quick reconciler, so that a fault's consequences come within seconds.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis

from ratchet.chaos import work
from ratchet.chaos.postgres import Postgres
from ratchet.chaos.proxy import Proxy
from ratchet.stack.broker import Broker
from ratchet.stack.local import LocalStack
from ratchet.stack.processes import stop_all
from shared.config.secrets import broker_url
from shared.config.settings import StackParts, StackSettings
from shared.errors import RatchetError
from shared.ledger.ledger import Ledger

LEASE_S, RECONCILE_S = 3.0, 0.5
NEVER_S = 1e7  # of a reconciler that is switched off
ATTEMPTS = 8  # a job may meet several of the faults
NO_MODEL = "http://127.0.0.1:9"  # the jobs ask none
POLL_S = 0.02


@dataclass
class Scene:
    """`ledger` looks past the proxies: what it says is so. `postgres`: None, the ledger is a SQLite file."""

    folder: Path
    stack: LocalStack
    broker: Broker
    ledger: Ledger
    postgres: Postgres | None
    to_broker: Proxy
    to_ledger: Proxy | None
    later: list[tuple[threading.Timer, Callable[[], None]]] = field(default_factory=list)

    def tick(self) -> None:
        """Restart what was killed, at once. To be called often."""
        for program in [self.broker.program, *self.stack.workers]:
            program.quick_deaths, program.start_after_s = 0, 0.0
            program.keep_running()

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """From a thread: a publisher on a silent broker would wait for ever for its end."""
        timer = threading.Timer(seconds, do)
        timer.daemon = True
        self.later.append((timer, do))
        timer.start()

    def until(self, true: Callable[[], object], limit_s: float, tick: bool = True) -> bool:
        """Whether it came true in time. The broker and the workers are kept running meanwhile."""
        end_s = time.monotonic() + limit_s
        while not true():
            if time.monotonic() > end_s:
                return False
            if tick:
                self.tick()
            time.sleep(POLL_S)
        return True

    def mend(self) -> None:
        """Nothing is cut, held or frozen any more."""
        for proxy in self.proxies:
            proxy.refuse(False)
            proxy.hold(False)
            proxy.lose_commits(0)
        for timer, do in self.later:
            timer.cancel()
            do()
        self.later = []

    @property
    def proxies(self) -> list[Proxy]:
        return [self.to_broker, *([self.to_ledger] if self.to_ledger else [])]

    def parents(self) -> list[psutil.Process]:
        """The workers that run now."""
        running = [program.process for program in self.stack.workers]
        return [psutil.Process(one.pid) for one in running if one and one.poll() is None]

    def children(self) -> list[psutil.Process]:
        """The processes that do their jobs."""
        found = []
        for parent in self.parents():
            try:
                found += parent.children()
            except psutil.NoSuchProcess:
                continue
        return found

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(broker_url(StackParts(**self.broker.settings)), socket_timeout=5)

    def log(self) -> str:
        """What the workers wrote."""
        files = sorted(self.stack.logs.glob("worker*.log"))
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)


@contextmanager
def scene(
    folder: Path, database: str, *, workers: int = 2, reconciler: bool = True, lease_s: float = LEASE_S
) -> Iterator[Scene]:
    """`database`: sqlite, or postgresql (a private one)."""
    with ExitStack() as parts:
        broker = _broker(folder, parts)
        postgres = _postgres(parts) if database == "postgresql" else None
        to_broker = parts.enter_context(Proxy(broker.port))
        to_ledger = parts.enter_context(Proxy(postgres.port)) if postgres else None
        file = f"sqlite:///{folder / 'ledger.sqlite'}"
        ledger = Ledger(postgres.create("ledger") if postgres else file)
        ledger.create_schema()
        reconcile_s = RECONCILE_S if reconciler else NEVER_S
        settings = StackSettings(
            ledger_url=postgres.url("ledger", port=to_ledger.port) if postgres and to_ledger else file,
            store_url=str(folder / "store"),
            broker_url=f"redis://127.0.0.1:{to_broker.port}/0",
            broker_password=broker.settings["broker_password"],
            model_url=NO_MODEL,
            cache_dir=folder / "cache",
            queue_prefix="chaos:",
            lease_s=lease_s,
            reconcile_s=reconcile_s,
            max_attempts=ATTEMPTS,
        )
        ledger.ring_s = reconcile_s
        stack = parts.enter_context(LocalStack(folder, settings, work.workers(workers)))
        made = Scene(folder, stack, broker, ledger, postgres, to_broker, to_ledger)
        parts.callback(made.mend)  # a frozen worker does not end
        yield made


def _broker(folder: Path, parts: ExitStack) -> Broker:
    broker = Broker(folder / "broker", folder / "logs" / "broker.log")
    broker.program.start()
    parts.callback(broker.holder.close)
    parts.callback(stop_all, [broker.program])
    broker.wait()
    return broker


def _postgres(parts: ExitStack) -> Postgres:
    postgres = Postgres(uuid.uuid4().hex)
    parts.callback(postgres.close)
    postgres.start()
    os.environ["PGPASSWORD"] = postgres.password
    return postgres


def wait_for_workers(scene: Scene, limit_s: float = 60.0) -> None:
    """Until every worker has its process for jobs. Raises RatchetError."""
    ready = lambda: len(scene.children()) >= len(scene.stack.workers)  # noqa: E731
    if not scene.until(ready, limit_s):
        raise RatchetError("the workers do not start", f"see {scene.stack.logs}")

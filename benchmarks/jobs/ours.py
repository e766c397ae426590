"""The chains of ratchet/chaos/work.py on a local stack: claim, handle, commit and ring, as in a run."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ratchet.chaos import work
from ratchet.chaos.postgres import Postgres
from ratchet.chaos.work import Work
from ratchet.stack.broker import Broker
from ratchet.stack.local import LocalStack
from shared.config.settings import StackSettings
from shared.ledger.ledger import Ledger

POLL_S = 0.05
NO_MODEL = "http://127.0.0.1:9"  # the jobs ask none


class Ours:
    """One stack with a worker of so many processes."""

    def __init__(self, stack: LocalStack, ledger: Ledger) -> None:
        self.stack, self.ledger = stack, ledger

    @property
    def pid(self) -> int:
        process = self.stack.workers[0].process
        assert process is not None
        return process.pid

    def seconds_for(self, chains: int, links: int, limit_s: float) -> tuple[float, list[float]]:
        """How long these take, and for each link but the first how long it was from the commit of the one
        before to the first line of its handler, in seconds."""
        run_id, chain_work = uuid.uuid4().hex, Work(links, effects=False)
        self.ledger.create_run(run_id)
        started_s = time.perf_counter()
        for chain in range(chains):
            self.stack.ring(self.ledger.submit([work.first_link(run_id, str(chain), chain_work)]))
        while not self._ended(run_id, chains * links):
            if time.perf_counter() - started_s > limit_s:
                raise SystemExit(f"{self.ledger.jobs(run_id)} after {limit_s} s; see {self.stack.logs}")
            time.sleep(POLL_S)
        return time.perf_counter() - started_s, self._hops(run_id)

    def _ended(self, run_id: str, jobs: int) -> bool:
        return self.ledger.jobs(run_id).get(("agent", "done"), 0) >= jobs

    def _hops(self, run_id: str) -> list[float]:
        committed = {work.place(logged.event): logged.at for logged in self.ledger.events(run_id)}
        ran = work.executions(self.stack.settings.cache_dir)
        return [
            one.at - committed[one.chain, one.link] for one in ran if one.run_id == run_id and one.link > 0
        ]


@contextmanager
def ours(folder: Path, database: str, broker: Broker, processes: int) -> Iterator[Ours]:
    """`database`: sqlite or postgresql."""
    folder.mkdir()
    with ledger_url(folder, database) as url:
        settings = StackSettings(
            ledger_url=url,
            store_url=str(folder / "store"),
            broker_url=broker.settings["broker_url"],
            broker_password=broker.settings["broker_password"],
            model_url=NO_MODEL,
            cache_dir=folder / "cache",
            queue_prefix=f"{folder.name}:",
            workers={"agent": processes},
        )
        with LocalStack(folder, settings, work.workers(1)) as stack:
            ledger = Ledger(url)
            yield Ours(stack, ledger)


@contextmanager
def ledger_url(folder: Path, database: str) -> Iterator[str]:
    if database == "sqlite":
        url = f"sqlite:///{folder / 'ledger.sqlite'}"
        Ledger(url).create_schema()
        yield url
        return
    server = Postgres(uuid.uuid4().hex)
    try:
        server.start()
        os.environ["PGPASSWORD"] = server.password
        url = server.create("ledger")
        Ledger(url).create_schema()
        yield url
    finally:
        server.close()

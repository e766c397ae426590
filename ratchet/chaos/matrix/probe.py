"""What the rows of the matrix have in common: a few chains under one fault, what was seen of them, and
whether that is what the row expects.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from ratchet.chaos import work
from ratchet.chaos.judge import Verdict, judge
from ratchet.chaos.scene import Scene
from ratchet.chaos.work import Work

END_S = 60.0


@dataclass(frozen=True)
class Seen:
    text: str
    ok: bool


@dataclass(frozen=True)
class Row:
    """`fault`: its number in the matrix and what is done; `expect`: in words; `observe` does it."""

    fault: str
    expect: str
    observe: Callable[[Scene], Seen]
    server: bool = False  # needs PostgreSQL


class Probe:
    """A run of its own in the scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.run_id = uuid.uuid4().hex
        self.accepted: list[tuple[str, str, int]] = []
        self.started_s = time.monotonic()
        scene.ledger.create_run(self.run_id)

    def submit(self, chains: int, work_: Work, ring: bool = True) -> list[str]:
        """The first jobs' ids; `ring`: their doorbells are published."""
        ids = []
        for _ in range(chains):
            chain = str(len(self.accepted))
            rings = self.scene.ledger.submit([work.first_link(self.run_id, chain, work_)])
            if ring:
                self.scene.stack.ring(rings)
            ids += [one.job_id for one in rings]
            self.accepted.append((self.run_id, chain, work_.links))
        return ids

    @property
    def runs(self) -> int:
        """How often code was begun."""
        folder = self.scene.stack.settings.cache_dir
        return sum(one.run_id == self.run_id for one in work.executions(folder))

    def done(self) -> int:
        return self.scene.ledger.jobs(self.run_id).get(("agent", "done"), 0)

    def until_begun(self, count: int = 1) -> None:
        self.scene.until(lambda: self.runs >= count, END_S)

    def until_ended(self, limit_s: float = END_S) -> None:
        """No job is open and every link that is owed is there."""
        owed = sum(links for _, _, links in self.accepted)
        self.scene.until(lambda: self.done() >= owed, limit_s)

    def verdict(self) -> Verdict:
        return judge(self.scene.ledger, self.accepted)

    def seen(self, more: str = "", ok: bool = True) -> Seen:
        """The end of all chains, how often code ran, and how long it took."""
        self.until_ended()
        verdict, took_s = self.verdict(), time.monotonic() - self.started_s
        words = f"{verdict}; code ran {self.runs} times; {took_s:.1f} s"
        return Seen(f"{words}; {more}" if more else words, verdict.ok and ok)

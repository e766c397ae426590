"""Counts what became of chains of jobs: lost, done twice, stuck, given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ratchet.chaos import work
from shared.ledger.ledger import Ledger
from shared.messages.events import JobDied


@dataclass(frozen=True)
class Verdict:
    """`lost`: jobs of an accepted chain that have no effect; `double`: jobs with more than one; `stuck`: jobs
    that are still open; `dead`: jobs that were given up, with a JobDied each."""

    jobs: int
    done: int
    lost: int
    double: int
    stuck: int
    dead: int

    @property
    def ok(self) -> bool:
        return self.done == self.jobs > 0 and not (self.lost or self.double or self.stuck or self.dead)

    def __str__(self) -> str:
        return (
            f"{self.done} of {self.jobs} done, {self.lost} lost, {self.double} double, {self.stuck} stuck,"
            f" {self.dead} dead"
        )


def judge(ledger: Ledger, accepted: Iterable[tuple[str, str, int]]) -> Verdict:
    """`accepted`: (run, chain, links) of each chain whose first message was acknowledged."""
    owed: dict[str, list[tuple[str, int]]] = {}
    for run_id, chain, links in accepted:
        owed.setdefault(run_id, []).extend((chain, link) for link in range(links))
    counts: Counter[str] = Counter()
    for run_id, links_owed in owed.items():
        log = ledger.events(run_id)
        effects = work.effects_in(log)
        states = Counter[str]()
        for (_, state), number in ledger.jobs(run_id).items():
            states[state] += number
        counts["jobs"] += len(links_owed)
        counts["lost"] += sum(effects[link] == 0 for link in links_owed)
        counts["double"] += sum(number > 1 for number in effects.values())
        counts["stuck"] += states["ready"] + states["leased"]
        counts["dead"] += sum(isinstance(logged.event, JobDied) for logged in log)
        counts["done"] += states["done"]
    return Verdict(**{name: counts[name] for name in ("jobs", "done", "lost", "double", "stuck", "dead")})

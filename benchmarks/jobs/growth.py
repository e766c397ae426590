"""How the time for all jobs of a run grows with their number: the ledger and the bus, without a queue. All
jobs are submitted first, so that so many are open; the reconciler looks as often as in a stack."""

from __future__ import annotations

import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.jobs.ours import ledger_url
from ratchet.chaos import work
from ratchet.chaos.work import Work
from shared import children
from shared.bus.bus import Bus
from shared.ledger.ledger import Ledger, Ring
from shared.messages.records import JsonObject

PORTION = 500  # messages of one submission
OVERDUE_S = 5.0


def growth(database: str, sizes: Sequence[int], say: Callable[[str], None]) -> JsonObject:
    """Seconds for each size, and the slope of their logarithms: 1 is proportional."""
    with tempfile.TemporaryDirectory() as name, ledger_url(Path(name), database) as url:
        seconds = {}
        for size in sizes:
            seconds[size] = round(_seconds_for(size, Ledger(url), Path(name) / "cache"), 2)
            say(f"{database}: {size} jobs in {seconds[size]} s")
    slope = np.polyfit(np.log(list(seconds)), np.log(list(seconds.values())), 1)[0]
    return {"seconds": seconds, "slope": round(float(slope), 3)}


def _seconds_for(size: int, ledger: Ledger, folder: Path) -> float:
    run_id, small = uuid.uuid4().hex, Work(1, effects=True)
    ledger.create_run(run_id)
    ledger.database.keep_open()  # as a worker does
    bus = Bus(ledger, lambda: work.handlers(folder), lambda rings: None, children.owner_name())
    started_s = looked_s = time.perf_counter()
    rings: list[Ring] = []
    for first in range(0, size, PORTION):
        chains = range(first, min(first + PORTION, size))
        rings += ledger.submit([work.first_link(run_id, str(chain), small) for chain in chains])
    for ring in rings:
        bus.process(ring.job_id)
        if time.perf_counter() - looked_s > OVERDUE_S:
            ledger.overdue(children.is_gone)
            looked_s = time.perf_counter()
    assert ledger.jobs(run_id) == {("agent", "done"): size}
    return time.perf_counter() - started_s

"""`ratchet soak`: jobs at an even pace for hours on a stack of its own; samples, slopes and a verdict."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ratchet.chaos import work
from ratchet.chaos.scene import Scene, scene, wait_for_workers
from ratchet.chaos.work import Work
from ratchet.soak.sampling import FLOORS, sample
from ratchet.soak.trend import trend
from shared.machine import machine_and_date
from shared.messages.records import JsonObject

SAMPLES = 120  # of a soak, evenly
SHORTEST_S = 0.5  # between two


@dataclass(frozen=True)
class Wish:
    """`rate`: jobs a second. `work`: what each does; a test plants a leak there."""

    hours: float
    database: str = "sqlite"
    rate: float = 20.0
    work: Work = Work(1, notes=False)  # noqa: RUF009


def soak(wish: Wish) -> JsonObject:
    """The report: each series' first and last value, slope and verdict, and the samples."""
    with tempfile.TemporaryDirectory() as name, scene(Path(name), wish.database) as made:
        wait_for_workers(made)
        samples = _samples(made, wish)
    times = [one["at_s"] for one in samples]
    trends = {name: trend(times, [one[name] for one in samples], floor) for name, floor in FLOORS.items()}
    grown = [name for name, found in trends.items() if not found.flat]
    return machine_and_date() | {
        "hours": wish.hours,
        "rate": wish.rate,
        "database": wish.database,
        "jobs": samples[-1]["jobs"],
        "verdict": "flat" if not grown else f"grows: {', '.join(grown)}",
        "ok": not grown,
        "series": {name: _rounded(asdict(found)) for name, found in trends.items()},
        "samples": [_rounded(one) for one in samples],
    }


def _samples(made: Scene, wish: Wish) -> list[dict[str, float]]:
    run_id, started_s = "soak", time.monotonic()
    made.ledger.create_run(run_id)
    every_s = max(wish.hours * 3600 / SAMPLES, SHORTEST_S)
    found: list[dict[str, float]] = []
    submitted = 0
    while (passed_s := time.monotonic() - started_s) < wish.hours * 3600:
        if submitted < passed_s * wish.rate and made.ledger.open_jobs(run_id) < wish.rate:
            made.stack.ring(made.ledger.submit([work.first_link(run_id, str(submitted), wish.work)]))
            submitted += 1
        else:
            time.sleep(0.01)
        if passed_s >= every_s * len(found):
            found.append({"at_s": passed_s, **sample(made, run_id)})
            _say(found[-1], wish)
        made.tick()
    return found


def _say(one: dict[str, float], wish: Wish) -> None:
    words = ", ".join(f"{name} {one[name]:.4g}" for name in ("jobs", *FLOORS))
    print(f"{one['at_s'] / 3600:.3f} of {wish.hours} h: {words}", file=sys.stderr, flush=True)


def _rounded(values: dict[str, float]) -> JsonObject:
    return {name: value if isinstance(value, bool) else round(value, 3) for name, value in values.items()}

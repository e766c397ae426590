"""`ratchet bench jobs`: jobs a second through claim, handle, commit and ring, with 1, 2 and 4 processes on
SQLite and PostgreSQL, and the same chains of tasks on bare Celery with the same broker, alternating. The time
from a commit to the next handler's first line. How the time for a run's jobs grows with their number.

    ratchet bench jobs --json --out benchmarks/results/jobs.json
    ratchet bench jobs --quick                 # a minute, for a look
    ratchet bench jobs --growth --json         # the ledger alone, up to 100,000 jobs
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import psutil

from benchmarks._report import add_options, report
from benchmarks.jobs.bare import Bare
from benchmarks.jobs.growth import growth
from benchmarks.jobs.ours import Ours, ours
from ratchet.stack.broker import Broker
from ratchet.stack.processes import stop_all
from shared.config.secrets import broker_url
from shared.config.settings import StackParts
from shared.machine import machine_and_date
from shared.messages.records import JsonObject

CHAINS = 16  # in progress at a time, so that no process waits for work
LIMIT_S = 120.0  # of one round
DATABASES = ("sqlite", "postgresql")
DURABILITY = {
    "sqlite": "WAL, synchronous=NORMAL: a commit survives kill -9; power loss may undo the last ones",
    "postgresql": "synchronous_commit=on, fsync=on: a commit survives power loss",
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    found: JsonObject = machine_and_date() | {"durability": DURABILITY}
    if options.growth:
        found["growth"] = {name: growth(name, options.sizes, say) for name in options.databases}
    else:
        found["rows"] = [
            row
            for database in options.databases
            for processes in options.processes
            for row in [compare(database, processes, options.links, options.rounds)]
        ]
    report(found, options, _table)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ratchet bench jobs", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_options(parser)
    parser.add_argument("--quick", action="store_true", help="two rounds of short chains")
    parser.add_argument("--growth", action="store_true", help="measure the ledger's growth instead")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--links", type=int, default=25, help=f"jobs of each of the {CHAINS} chains")
    parser.add_argument("--rounds", type=int, default=4, help="of each side, alternating")
    parser.add_argument("--sizes", nargs="+", type=int, default=[1_000, 10_000, 100_000])
    options = parser.parse_args(arguments)
    if options.quick:
        options.links, options.rounds, options.sizes = 8, 2, [300, 1_000, 3_000]
    return options


def compare(database: str, processes: int, links: int, rounds: int) -> JsonObject:
    """Both sides up at the same time on one broker, in turns (ABBA)."""
    say(f"{database}, {processes} processes")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = Broker(folder / "broker", folder / "broker.log")
        broker.program.start()
        try:
            broker.wait()
            url = broker_url(StackParts(**broker.settings))
            with (
                Bare(url, processes, folder / "bare.log") as bare,
                ours(folder / "ours", database, broker, processes) as mine,
            ):
                about = {"database": database, "processes": processes}
                return about | _measure(mine, bare, links, rounds)
        finally:
            stop_all([broker.program])
            broker.holder.close()


def _measure(mine: Ours, bare: Bare, links: int, rounds: int) -> JsonObject:
    mine.seconds_for(4, 3, LIMIT_S)  # all processes have begun, and have their connections
    bare.seconds_for(4, 3, LIMIT_S)
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    used_s = dict.fromkeys(times, 0.0)
    loaded: list[float] = []
    for turn in range(rounds):
        for side in ("ours", "bare") if turn % 2 == 0 else ("bare", "ours"):
            before_s = cpu_s(mine.pid if side == "ours" else bare.pid)
            if side == "ours":
                took_s, hops = mine.seconds_for(CHAINS, links, LIMIT_S)
                loaded += hops
            else:
                took_s = bare.seconds_for(CHAINS, links, LIMIT_S)
            times[side].append(took_s)
            used_s[side] += cpu_s(mine.pid if side == "ours" else bare.pid) - before_s
    rates = {side: CHAINS * links / median(found) for side, found in times.items()}
    _, idle = mine.seconds_for(1, 4 * links, LIMIT_S)
    return {
        "jobs_per_s": round(rates["ours"], 1),
        "celery_jobs_per_s": round(rates["bare"], 1),
        "vs_celery": round(rates["ours"] / rates["bare"], 3),
        "worker_cpu_ms_a_job": {
            side: round(1000 * used / (rounds * CHAINS * links), 2) for side, used in used_s.items()
        },
        "rounds": {
            side: [round(CHAINS * links / took, 1) for took in found] for side, found in times.items()
        },
        "commit_to_handler_ms": {"idle": _percentiles(idle), f"{CHAINS} chains": _percentiles(loaded)},
    }


def cpu_s(pid: int) -> float:
    """Processor time of a worker and of all processes that it has had for jobs."""
    parent = psutil.Process(pid)
    children = sum(sum(child.cpu_times()[:2]) for child in parent.children())
    return float(sum(parent.cpu_times()[:4]) + children)


def _percentiles(seconds: Sequence[float]) -> JsonObject:
    ordered = sorted(seconds)
    return {
        name: round(1000 * ordered[int(len(ordered) * part)], 1)
        for name, part in (("p50", 0.5), ("p95", 0.95))
    }


def _table(found: JsonObject) -> str:
    lines = [found["machine"]]
    for row in found.get("rows", []):
        lines.append(
            f"{row['database']:10} {row['processes']} processes: {row['jobs_per_s']:7.1f} jobs/s,"
            f" Celery alone {row['celery_jobs_per_s']:7.1f}, ratio {row['vs_celery']:.2f};"
            f" commit to handler {row['commit_to_handler_ms']['idle']} ms"
        )
    for name, row in found.get("growth", {}).items():
        lines.append(f"{name:10} {row['seconds']} s, slope {row['slope']}")
    return "\n".join(lines)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()

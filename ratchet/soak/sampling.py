"""One sample of what may grow while jobs come and go: memory, descriptors, disk, rows, the broker."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil
from sqlalchemy import func, select

from ratchet.chaos.scene import Scene
from shared.ledger.schema import metadata

MB = 1e6
# What is looked at, and what rise is none. Rows and disk are counted by job: the log keeps every one.
FLOORS = {
    "memory_mb": 8.0,
    "descriptors": 8.0,
    "open_jobs": 4.0,
    "broker_keys": 4.0,
    "broker_mb": 2.0,
    "rows_a_job": 0.2,
    "disk_kb_a_job": 0.5,
    "spare_disk_mb": 2.0,
}


def sample(scene: Scene, run_id: str) -> dict[str, float]:
    done = max(scene.ledger.jobs(run_id).get(("agent", "done"), 0), 1)
    ledger_bytes = (
        _bytes_of([scene.folder / "ledger.sqlite"]) if scene.postgres is None else _database_bytes(scene)
    )
    logs = _bytes_of(scene.stack.logs.rglob("*"))
    memory, descriptors = _of_processes(scene)
    with scene.redis() as client:
        keys, info = client.dbsize(), client.info("memory")
    return {
        "jobs": float(done),
        "memory_mb": memory / MB,
        "descriptors": float(descriptors),
        "open_jobs": float(scene.ledger.open_jobs(run_id)),
        "broker_keys": float(keys),
        "broker_mb": info["used_memory"] / MB,
        "rows_a_job": _rows(scene) / done,
        "disk_kb_a_job": (ledger_bytes + logs) / 1e3 / done,
        "spare_disk_mb": _bytes_of((scene.folder / "cache").rglob("*")) / MB,
    }


def _of_processes(scene: Scene) -> tuple[int, int]:
    """Bytes that are in memory, and open descriptors, of the workers and the broker."""
    memory = descriptors = 0
    broker = scene.broker.program.process
    parents = [*scene.parents(), *([psutil.Process(broker.pid)] if broker else [])]
    for parent in parents:
        for process in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                memory += process.memory_info().rss
                descriptors += process.num_fds()
    return memory, descriptors


def _rows(scene: Scene) -> int:
    with scene.ledger.database.read() as connection:
        counts = [
            connection.execute(select(func.count()).select_from(table)) for table in metadata.sorted_tables
        ]
        return sum(int(count.scalar_one()) for count in counts)


def _database_bytes(scene: Scene) -> int:
    with scene.ledger.database.read() as connection:
        size = connection.exec_driver_sql("SELECT pg_database_size(current_database())")
        return int(size.scalar_one())


def _bytes_of(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total

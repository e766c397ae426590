"""The random faults. Each takes a scene and a source of chance, and says whether it really happened: a
doorbell can be dropped only where one waits.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress

import psutil
import redis
from sqlalchemy import select

from ratchet.chaos.scene import Scene
from shared.ledger.ledger import Ring
from shared.ledger.schema import jobs

Fault = Callable[[Scene, random.Random], bool]
HELD_S = 1.0  # a black hole
MOST_DROPPED = 4


def drop_doorbell(scene: Scene, chance: random.Random) -> bool:
    """What LPOP takes off the queue no worker will see."""
    with suppress(redis.RedisError), scene.redis() as client:
        return client.lpop(QUEUE) is not None
    return False


def flush_broker(scene: Scene, chance: random.Random) -> bool:
    with suppress(redis.RedisError), scene.redis() as client:
        return bool(client.flushall())
    return False


def repeat_doorbell(scene: Scene, chance: random.Random) -> bool:
    """Of a job that may be waiting, running or done, five times."""
    with scene.ledger.database.read() as connection:
        latest = select(jobs.c.id, jobs.c.service, jobs.c.type).order_by(jobs.c.seq.desc()).limit(100)
        rows = connection.execute(latest.where(jobs.c.service == "agent")).all()
    if not rows:
        return False
    row = chance.choice(rows)
    scene.stack.ring([Ring(row.id, row.service, row.type)] * 5)
    return True


def cut_broker(scene: Scene, chance: random.Random) -> bool:
    return scene.to_broker.cut() > 0


def hold_broker(scene: Scene, chance: random.Random) -> bool:
    scene.to_broker.hold(True)
    scene.after(HELD_S, lambda: scene.to_broker.hold(False))
    return True


def kill_child(scene: Scene, chance: random.Random) -> bool:
    """The process that does the jobs; its parent makes another."""
    return _send(scene.children(), chance, signal.SIGKILL) is not None


def kill_worker(scene: Scene, chance: random.Random) -> bool:
    return _send(scene.parents(), chance, signal.SIGKILL) is not None


def freeze_child(scene: Scene, chance: random.Random) -> bool:
    """Past its lease; then it continues with what it was doing."""
    pid = _send(scene.children(), chance, signal.SIGSTOP)
    if pid is None:
        return False

    def thaw() -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    scene.after(scene.stack.settings.lease_s + 1.0, thaw)
    return True


def kill_broker(scene: Scene, chance: random.Random) -> bool:
    process = scene.broker.program.process
    if process is None or process.poll() is not None:
        return False
    process.kill()
    return True


def cut_ledger(scene: Scene, chance: random.Random) -> bool:
    return scene.to_ledger is not None and scene.to_ledger.cut() > 0


def hold_ledger(scene: Scene, chance: random.Random) -> bool:
    proxy = scene.to_ledger
    if proxy is None:
        return False
    proxy.hold(True)
    scene.after(HELD_S, lambda: proxy.hold(False))
    return True


def lose_commit(scene: Scene, chance: random.Random) -> bool:
    """The connection ends after COMMIT was sent and done, before its answer."""
    proxy = scene.to_ledger
    if proxy is None:
        return False
    before = proxy.lost_commits
    proxy.lose_commits(1)
    happened = scene.until(lambda: proxy.lost_commits > before, 3.0)
    proxy.lose_commits(0)
    return happened


def restart_postgres(scene: Scene, chance: random.Random) -> bool:
    if scene.postgres is None:
        return False
    scene.postgres.stop()
    scene.postgres.start()
    return True


def _send(processes: list[psutil.Process], chance: random.Random, number: signal.Signals) -> int | None:
    """A signal to one of them; its pid."""
    if not processes:
        return None
    one = chance.choice(processes)
    with suppress(psutil.NoSuchProcess):
        one.send_signal(number)
        return int(one.pid)
    return None


QUEUE = "chaos:agent"
# How often each is drawn. What stops everything for seconds is rare, or nothing else would happen.
WEIGHTS: dict[Fault, float] = {
    drop_doorbell: 35,
    repeat_doorbell: 20,
    cut_ledger: 14,
    lose_commit: 14,
    cut_broker: 3,
    kill_child: 5,
    freeze_child: 2,
    flush_broker: 4,
    hold_ledger: 1,
    hold_broker: 1,
    kill_worker: 0.5,
    kill_broker: 0.7,
    restart_postgres: 0.7,
}
NEED_SERVER = {cut_ledger, lose_commit, hold_ledger, restart_postgres}  # not of a SQLite file


def drawn_from(scene: Scene) -> dict[Fault, float]:
    return {fault: weight for fault, weight in WEIGHTS.items() if scene.postgres or fault not in NEED_SERVER}

"""Rows about the broker and the database: killed, emptied, full, cut off, restarted, with another clock."""

from __future__ import annotations

import random
import time

from sqlalchemy import text, update

from ratchet.chaos import faults
from ratchet.chaos.matrix.probe import Probe, Row, Seen
from ratchet.chaos.proxy import Proxy
from ratchet.chaos.scene import Scene
from ratchet.chaos.work import Work
from shared.bus.start_checks import check_broker
from shared.config.settings import StackParts
from shared.errors import LedgerError, LedgerRefusedError, SettingsError
from shared.ledger.migrate import check_schema
from shared.ledger.schema import REVISION, jobs, leaders

SOME = Work(5, work_s=0.1)
CHANCE = random.Random(0)  # these rows leave nothing to it


def broker_killed(scene: Scene) -> Seen:
    probe = Probe(scene)
    probe.submit(2, SOME)
    probe.until_begun(3)
    faults.kill_broker(scene, CHANCE)
    scene.until(lambda: probe.done() >= 6, 60.0)
    faults.kill_broker(scene, CHANCE)
    time.sleep(0.5)
    return probe.seen()


def broker_emptied(scene: Scene) -> Seen:
    probe = Probe(scene)
    probe.submit(4, SOME)
    probe.until_begun(2)
    faults.flush_broker(scene, CHANCE)
    return probe.seen()


def broker_full(scene: Scene) -> Seen:
    """New doorbells are refused by a broker without memory; it gets some again after a few seconds."""
    probe = Probe(scene)
    with scene.redis() as client:
        client.config_set("maxmemory", 1)
        try:
            probe.submit(2, SOME)
            time.sleep(3.0)
            kept = scene.ledger.open_jobs(probe.run_id)
        finally:
            client.config_set("maxmemory", "256mb")
    return probe.seen(f"{kept} accepted jobs were kept meanwhile", kept == 2)


def broker_that_evicts(scene: Scene) -> Seen:
    parts = StackParts(**scene.broker.settings)
    with scene.redis() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        try:
            check_broker(parts)
        except SettingsError as error:
            return Seen(error.message, True)
        finally:
            client.config_set("maxmemory-policy", "noeviction")
    return Seen("it was accepted", False)


def _held_and_reset(scene: Scene, proxy: Proxy) -> Seen:
    """Nothing passes for three seconds, then every connection is reset, five times."""
    probe = Probe(scene)
    probe.submit(3, Work(10, work_s=0.1))
    probe.until_begun(3)
    proxy.hold(True)
    scene.until(lambda: False, 3.0)
    proxy.hold(False)
    cut = 0
    for _ in range(5):
        cut += proxy.cut()
        scene.until(lambda: False, 0.3)
    return probe.seen(f"{cut} connections cut", cut > 0)


def network_to_broker(scene: Scene) -> Seen:
    return _held_and_reset(scene, scene.to_broker)


def network_to_ledger(scene: Scene) -> Seen:
    assert scene.to_ledger is not None
    return _held_and_reset(scene, scene.to_ledger)


def _cut_off(scene: Scene, proxy: Proxy, seconds: float) -> Seen:
    """Workers can't reach one server, and can reach the other."""
    probe = Probe(scene)
    probe.submit(2, SOME)
    probe.until_begun()
    proxy.refuse(True)
    scene.until(lambda: False, seconds)
    meanwhile = probe.done()
    proxy.refuse(False)
    return probe.seen(f"{meanwhile} done before it was mended")


def cut_from_broker(scene: Scene) -> Seen:
    return _cut_off(scene, scene.to_broker, 8.0)


def cut_from_ledger(scene: Scene) -> Seen:
    assert scene.to_ledger is not None
    return _cut_off(scene, scene.to_ledger, 8.0)


def commit_unanswered(scene: Scene) -> Seen:
    """Workers don't learn whether the transaction is done; it is."""
    proxy, probe = scene.to_ledger, Probe(scene)
    assert proxy is not None
    before = proxy.lost_commits
    probe.submit(4, SOME)
    for _ in range(8):
        proxy.lose_commits(1)
        scene.until(lambda: False, 0.4)
    proxy.lose_commits(0)
    lost = proxy.lost_commits - before
    return probe.seen(f"{lost} answers to COMMIT lost", lost > 0)


def postgres_restarted(scene: Scene) -> Seen:
    probe, restarts = Probe(scene), 0
    probe.submit(6, Work(10, work_s=0.1))
    end_s = time.monotonic() + 12.0
    while time.monotonic() < end_s:
        restarts += faults.restart_postgres(scene, CHANCE)
        scene.until(lambda: False, 2.0)
    return probe.seen(f"{restarts} restarts", restarts > 1)


def clock_set(scene: Scene) -> Seen:
    """An hour back, in the middle of jobs, and an hour ahead: all times in the ledger move the other way."""
    probe = Probe(scene)
    probe.submit(3, Work(8, work_s=0.2))
    for hours in (1, -1):
        probe.until_begun(3)
        times = (jobs.c.not_before, jobs.c.lease_until, jobs.c.ring_at)
        with scene.ledger.database.write() as connection:
            connection.execute(update(jobs).values({time.name: time + hours * 3600 for time in times}))
            connection.execute(update(leaders).values(lease_until=leaders.c.lease_until + hours * 3600))
        scene.until(lambda: False, 2.0)
    return probe.seen()


def two_coordinators(scene: Scene) -> Seen:
    """Both ask to be the one, again and again, until the first one's time is over."""
    name = f"chaos {time.monotonic()}"
    first = scene.ledger.elect(name, "one", 0.5)
    second = [scene.ledger.elect(name, "two", 0.5) for _ in range(5)]
    time.sleep(0.6)
    after = scene.ledger.elect(name, "two", 0.5)
    again = scene.ledger.elect(name, "one", 0.5)
    ok = first and not any(second) and after and not again
    return Seen(
        f"first {first}, the other meanwhile {any(second)}, after its time {after}, the first {again}", ok
    )


def newer_schema(scene: Scene) -> Seen:
    """A newer version has added a column; workers of this one run on, and none starts anew."""
    newer = f"{int(REVISION) + 1:04d}"
    _execute(
        scene,
        "ALTER TABLE jobs ADD COLUMN of_tomorrow VARCHAR",
        f"UPDATE alembic_version SET version_num = '{newer}'",
    )
    try:
        probe = Probe(scene)
        probe.submit(3, SOME)
        seen = probe.seen()
        try:
            check_schema(scene.ledger.database)
        except LedgerRefusedError as error:
            return Seen(f"{seen.text}; a new worker: {error.message}", seen.ok)
        return Seen(f"{seen.text}; a new worker was let in", False)
    finally:
        _execute(
            scene,
            "ALTER TABLE jobs DROP COLUMN of_tomorrow",
            f"UPDATE alembic_version SET version_num = '{REVISION}'",
        )


def _execute(scene: Scene, *statements: str) -> None:
    with scene.ledger.database.write() as connection:
        for statement in statements:
            connection.execute(text(statement))


def ledger_away(scene: Scene) -> Seen:
    """What can't be accepted is an error with a hint, at once."""
    assert scene.to_ledger is not None
    assert scene.postgres is not None
    scene.postgres.stop()
    try:
        Probe(scene)
    except LedgerError as error:
        return Seen(str(error)[:160], bool(error.hint))
    finally:
        scene.postgres.start()
    return Seen("it was accepted", False)


ROWS = [
    Row("F10 kill -9 of the broker, in jobs and idle", "consumed again, no loss, one effect", broker_killed),
    Row("F11 FLUSHALL on the broker", "open jobs are rung for again", broker_emptied),
    Row("F13 the broker's memory is full", "accepted jobs are kept and done later", broker_full),
    Row("F13 a broker that may evict queues", "refused at the start", broker_that_evicts),
    Row("F15 the network to the broker: silence, then resets", "at most repeated work", network_to_broker),
    Row(
        "F15 the network to PostgreSQL: silence, then resets",
        "at most repeated work",
        network_to_ledger,
        server=True,
    ),
    Row("F45 the clock an hour back, then ahead", "jobs are done, one effect", clock_set),
    Row("F46 connection cut after COMMIT was sent", "one effect", commit_unanswered, server=True),
    Row("F47 two coordinators", "one at a time", two_coordinators),
    Row("F57 old workers beside a newer schema", "they work as before; a new start is refused", newer_schema),
    Row("workers cut off from the broker alone", "done after it is mended", cut_from_broker),
    Row("workers cut off from PostgreSQL alone", "done after it is mended", cut_from_ledger, server=True),
    Row("PostgreSQL killed every two seconds", "no loss, one effect", postgres_restarted, server=True),
    Row("a submission while PostgreSQL is away", "an error with a hint", ledger_away, server=True),
]

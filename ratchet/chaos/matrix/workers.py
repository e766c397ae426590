"""Rows about workers: killed, frozen, woken, killed by their own job, rung too often."""

from __future__ import annotations

import os
import signal
import time

from sqlalchemy import select

from ratchet.chaos.matrix.probe import Probe, Row, Seen
from ratchet.chaos.scene import Scene
from ratchet.chaos.work import Work
from shared.ledger.ledger import Ring
from shared.ledger.schema import jobs
from shared.messages.events import JobDied

LONG = Work(1, work_s=1.5)


def killed_in_a_job(scene: Scene) -> Seen:
    probe = Probe(scene)
    probe.submit(1, LONG)
    probe.until_begun()
    for child in scene.children():
        child.kill()
    probe.until_begun(2)
    return probe.seen(ok=probe.runs == 2)


def killed_whole_in_a_job(scene: Scene) -> Seen:
    probe = Probe(scene)
    probe.submit(1, LONG)
    probe.until_begun()
    for parent in scene.parents():
        parent.kill()
    return probe.seen()


def frozen_past_its_lease(scene: Scene) -> Seen:
    """Both workers' children are frozen in a job each; new ones finish the jobs; the old ones wake up."""
    probe = Probe(scene)
    probe.submit(1, LONG)
    probe.until_begun()
    frozen = [child.pid for child in scene.children()]
    dropped = scene.log().count("result dropped")
    holder = _holder(scene, probe.run_id)
    os.kill(holder, signal.SIGSTOP)
    try:
        probe.until_ended()
    finally:
        os.kill(holder, signal.SIGCONT)
    scene.until(lambda: scene.log().count("result dropped") > dropped, 15.0)
    fenced = scene.log().count("result dropped") - dropped
    ok = fenced == 1 and probe.runs == 2 and holder in frozen
    return probe.seen(f"{fenced} late commit was refused", ok)


def _holder(scene: Scene, run_id: str) -> int:
    """The pid that the lease of the run's one job names."""
    with scene.ledger.database.read() as connection:
        owner = connection.execute(select(jobs.c.owner).where(jobs.c.run_id == run_id)).scalar_one()
    return int(str(owner).split("/")[2])


def frozen_while_idle(scene: Scene) -> Seen:
    """The message is taken from the broker by a frozen process, which is then killed: it is nowhere."""
    probe, parents = Probe(scene), scene.parents()
    for parent in parents:
        parent.suspend()
    time.sleep(0.2)
    probe.submit(1, Work(1))
    time.sleep(0.5)
    for parent in parents:
        parent.kill()
    return probe.seen()


def deadly_job(scene: Scene) -> Seen:
    deadly, harmless = Probe(scene), Probe(scene)
    deadly.submit(1, Work(1, deadly=True))
    harmless.submit(4, Work(2))
    scene.until(lambda: _deaths(scene, deadly.run_id), 90.0)
    attempts, limit, deaths = deadly.runs, scene.stack.settings.max_attempts, _deaths(scene, deadly.run_id)
    words = f"begun {attempts} times of at most {limit}, then {deaths} JobDied; the others: "
    seen = harmless.seen()
    return Seen(words + seen.text, seen.ok and deaths == 1 and attempts == limit)


def _deaths(scene: Scene, run_id: str) -> int:
    return sum(isinstance(logged.event, JobDied) for logged in scene.ledger.events(run_id))


def repeated_doorbells(scene: Scene) -> Seen:
    probe = Probe(scene)
    job_ids = probe.submit(3, Work(1, work_s=0.2), ring=False)
    rings = [Ring(job_id, "agent", "shard_opened.v1") for job_id in job_ids]
    for _ in range(5):
        scene.stack.ring(rings[::-1])
    probe.until_ended()
    scene.stack.ring(rings)  # late ones
    time.sleep(1.0)
    return probe.seen(ok=probe.runs == 3)


ROWS = [
    Row("F1 kill -9 of a worker's process in a job", "run again, one effect", killed_in_a_job),
    Row("F1 kill -9 of all whole workers in a job", "run again, one effect", killed_whole_in_a_job),
    Row(
        "F5 a worker frozen past its lease, then woken",
        "its commit is refused, one effect",
        frozen_past_its_lease,
    ),
    Row(
        "F6 idle workers frozen, a doorbell published, killed",
        "the reconciler rings: done",
        frozen_while_idle,
    ),
    Row(
        "F7 a job that kills its worker each time", "dead after max_attempts, the queue moves on", deadly_job
    ),
    Row(
        "F8 each doorbell five times, in another order, and late",
        "one execution, one effect",
        repeated_doorbells,
    ),
]

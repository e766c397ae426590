"""Many jobs and many random faults, spread over them; the same with the reconciler switched off, where losses
have to be found, or the first says nothing.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from ratchet.chaos import faults, work
from ratchet.chaos.faults import Fault
from ratchet.chaos.judge import Verdict, judge
from ratchet.chaos.scene import Scene
from ratchet.chaos.work import Work
from shared.errors import LedgerError
from shared.messages.records import JsonObject

LINKS = 10  # jobs of a chain
IN_PROGRESS = 64  # chains
RUNS = 4
QUIET_S = 45.0  # without a job done: what is open now is stuck
CONTROL_QUIET_S = 8.0
LOOK_S = 0.1
SAY_S = 10.0
Say = Callable[[str], None]


@dataclass
class Course:
    """What was asked of the ledger, and what befell it."""

    accepted: list[tuple[str, str, int]] = field(default_factory=list)  # run, chain, links
    happened: Counter[str] = field(default_factory=Counter)
    done: int = 0
    moved_at_s: float = field(default_factory=time.monotonic)


def random_part(scene: Scene, jobs: int, fault_count: int, seed: int, say: Say) -> JsonObject:
    """Submit `jobs` in chains, a few in progress at a time, with a fault after each few jobs; then wait until
    all is done, or nothing more is."""
    chance, course, started_s = random.Random(seed), Course(), time.monotonic()
    runs = [f"random-{seed}-{number}" for number in range(RUNS)]
    for run_id in runs:
        scene.ledger.create_run(run_id)
    chains, said_s = jobs // LINKS, time.monotonic()
    while _goes_on(scene, course, jobs, runs):
        in_progress = len(course.accepted) - course.done // LINKS
        if len(course.accepted) < chains and in_progress < IN_PROGRESS:
            _submit(scene, course, runs)
        if sum(course.happened.values()) < min(fault_count, (course.done + 1) * fault_count / jobs):
            _break_something(scene, course, chance)
        if time.monotonic() - said_s > SAY_S:
            said_s = time.monotonic()
            say(f"{course.done} of {jobs} jobs done, {sum(course.happened.values())} faults")
        scene.tick()
    scene.mend()
    verdict = judge(scene.ledger, course.accepted)
    report = {"seed": seed, "seconds": round(time.monotonic() - started_s, 1), **asdict(verdict)}
    return report | {"faults": sum(course.happened.values()), "by_fault": dict(course.happened.most_common())}


def _goes_on(scene: Scene, course: Course, jobs: int, runs: list[str]) -> bool:
    """Look, now and then, how far it is."""
    time.sleep(LOOK_S / 5)
    try:
        done = sum(scene.ledger.jobs(run_id).get(("agent", "done"), 0) for run_id in runs)
    except LedgerError:  # PostgreSQL restarts just now
        return True
    if done > course.done:
        course.done, course.moved_at_s = done, time.monotonic()
    return done < jobs and time.monotonic() - course.moved_at_s < QUIET_S


def _submit(scene: Scene, course: Course, runs: list[str]) -> None:
    """Accepted is what was acknowledged; what was not is submitted again."""
    number = len(course.accepted)
    run_id = runs[number % RUNS]
    try:
        scene.stack.ring(scene.ledger.submit([work.first_link(run_id, str(number), Work(LINKS))]))
    except LedgerError:
        return
    course.accepted.append((run_id, str(number), LINKS))


def _break_something(scene: Scene, course: Course, chance: random.Random) -> None:
    drawn = faults.drawn_from(scene)
    fault: Fault = chance.choices(list(drawn), list(drawn.values()))[0]
    try:
        happened = fault(scene, chance)
    except LedgerError:
        return
    if happened:
        course.happened[fault.__name__] += 1


def control(scene: Scene, jobs: int, seed: int) -> Verdict:
    """The scene has no reconciler: some doorbells are dropped, and what they were for is never done."""
    run_id, course = f"control-{seed}", Course()
    scene.ledger.create_run(run_id)
    chance = random.Random(seed)
    for _ in range(jobs // LINKS):
        _submit(scene, course, [run_id] * RUNS)
        if chance.random() < 0.5:
            faults.drop_doorbell(scene, chance)
    owed = jobs // LINKS * LINKS
    scene.until(lambda: not _still(scene, course, run_id, owed), 120.0)
    return judge(scene.ledger, course.accepted)


def _still(scene: Scene, course: Course, run_id: str, owed: int) -> bool:
    """Whether jobs are still being done: one in the last seconds."""
    done = scene.ledger.jobs(run_id).get(("agent", "done"), 0)
    if done > course.done:
        course.done, course.moved_at_s = done, time.monotonic()
    return done < owed and time.monotonic() - course.moved_at_s < CONTROL_QUIET_S

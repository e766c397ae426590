"""The ledger's life as a state machine beside a model of it, a dict of jobs: claims, leases that run out,
workers that come back too late, retries, deaths, doorbells, a clock that jumps. Each broken promise is an
AssertionError that begins with the name of its rule.
"""

import os
import secrets
import uuid
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, update

from shared.errors import LostLeaseError
from shared.ledger.ledger import Ledger
from shared.ledger.schema import jobs, leaders
from shared.messages import events as e

# No sum of jumps comes near a sum of the other times: jumps alone, and no slow step, make them pass.
LEASE_S, RETRY_S, RING_S, MAX_ATTEMPTS = 60.0, 30.0, 5.0, 2
JUMPS_S = (23.0, 70.0, 3600.0)
MOST_PATIENT_RING = 4
SEED_VARIABLE = "RATCHET_TEST_SEED"
Lease = tuple[str, int]  # job, fence
NAMES = st.integers(0, 9)  # of messages: a job each
WRITES = st.sampled_from(["commit", "fail", "renew"])


class Life(RuleBasedStateMachine):
    """`model`: each job's row as it ought to be; times in seconds, moved by jumps alone."""

    known = Bundle("known")  # jobs
    leases = Bundle("leases")  # lost ones too: who holds one may not know
    ledger: Ledger

    @initialize(target=known)
    def begin(self) -> str:
        self.run_id, self.now_s = uuid.uuid4().hex, 0.0
        self.model: dict[str, dict[str, Any]] = {}
        self.ledger.create_run(self.run_id)
        self.ledger.overdue()
        return self.submit(0)

    @rule(target=known, name=NAMES)
    def submit(self, name: int) -> str:
        rings = self.ledger.submit([self._message(name)])
        known = [job for job, row in self.model.items() if row["name"] == name]
        assert len(rings) == (not known), "submit: a message submitted twice is one job"
        if known:
            return known[0]
        times = {"due_s": self.now_s, "until_s": 0.0, "ring_s": self.now_s + RING_S, "rings": 0}
        self.model[rings[0].job_id] = {"state": "ready", "fence": 0, "attempts": 0, "name": name} | times
        return rings[0].job_id

    @rule(target=leases, job=known)
    def claim(self, job: str) -> Lease:
        row, claim = self.model[job], self.ledger.claim(job, "owner")
        if not self._is_due(row):
            assert claim is None, f"claim: a job that is not due was leased, it is {row}"
        elif row["attempts"] >= MAX_ATTEMPTS:
            assert claim is None, "claim: a job was leased more often than max_attempts"
            row["state"] = "dead"
        else:
            row.update(state="leased", fence=row["fence"] + 1, attempts=row["attempts"] + 1, rings=0)
            row["until_s"] = self.now_s + LEASE_S
            assert claim is not None, f"claim: a job that is due was not leased, it is {row}"
            assert claim.event == self._message(row["name"]), "claim: a job comes with its own message"
            leased = (claim.fence, claim.attempt)
            assert leased == (row["fence"], row["attempts"]), "claim: each lease has the next fence"
        return job, row["fence"]

    @rule(
        target=leases, name=NAMES, writes=st.lists(st.tuples(WRITES, st.booleans()), min_size=1, max_size=4)
    )
    def a_worker_is_frozen_past_its_lease(
        self, name: int, writes: list[tuple[str, bool]]
    ) -> MultipleResults[Lease]:
        """Another gets the job meanwhile. Both write afterwards, in any order, each as often as it likes."""
        job = self.submit(name)
        frozen = self.claim(job)
        self.time_passes(70.0)
        other = self.claim(job)
        for what, late in writes:
            lease = frozen if late else other
            self.fail(lease, again=True) if what == "fail" else getattr(self, what)(lease)
        return multiple(frozen, other)

    @rule(target=leases, name=NAMES)
    def a_retry_has_to_wait(self, name: int) -> MultipleResults[Lease]:
        first = self.claim(self.submit(name))
        self.fail(first, again=True)
        early = self.claim(first[0])
        self.time_passes(70.0)
        return multiple(first, early, self.claim(first[0]))

    @rule(lease=leases)
    def commit(self, lease: Lease) -> None:
        effect = [e.BaseRequested(run_id=self.run_id, config=lease[0])]
        if self._holds("commit", lease, lambda: self.ledger.commit(*lease, effect)):
            self.model[lease[0]]["state"] = "done"

    @rule(lease=leases, again=st.booleans())
    def fail(self, lease: Lease, again: bool) -> None:
        retry_s = RETRY_S if again else None
        if self._holds("fail", lease, lambda: self.ledger.fail(*lease, "why", retry_s)):
            row, due_s = self.model[lease[0]], self.now_s + RETRY_S
            lives = again and row["attempts"] < MAX_ATTEMPTS
            row.update(state="ready" if lives else "dead", due_s=due_s, ring_s=due_s)

    @rule(lease=leases)
    def renew(self, lease: Lease) -> None:
        row = self.model[lease[0]]
        held = row["state"] == "leased" and row["fence"] == lease[1]
        kept = "a lost lease was prolonged" if not held else "a lease that is held was refused"
        assert self.ledger.renew(*lease) == held, f"renew: {kept}"
        if held:
            row["until_s"] = self.now_s + LEASE_S

    @rule()
    def reconcile(self) -> None:
        rung = {ring.job_id for ring in self.ledger.overdue()} & self.model.keys()
        expected = set()
        for job, row in self.model.items():
            if row["state"] == "leased" and row["until_s"] <= self.now_s:
                row.update(state="ready", ring_s=self.now_s)
            if row["state"] == "ready" and max(row["due_s"], row["ring_s"]) <= self.now_s:
                expected.add(job)
                row["ring_s"] = self.now_s + RING_S * 2 ** min(row["rings"], MOST_PATIENT_RING)
                row["rings"] += 1
        assert rung == expected, (
            f"overdue: rang for {len(rung)} jobs, and {len(expected)} wait for a doorbell"
        )

    @rule(jump_s=st.sampled_from(JUMPS_S))
    def time_passes(self, jump_s: float) -> None:
        self._shift(-jump_s)
        self.now_s += jump_s

    @rule(jump_s=st.sampled_from([70.0, 86_400.0]))
    def the_clock_is_set_back(self, jump_s: float) -> None:
        self.reconcile()  # it looks again and again; what it saw last is what a jump is measured by
        self._shift(jump_s)
        self.reconcile()

    @invariant()
    def all_is_as_in_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        with self.ledger.database.read() as connection:
            rows = connection.execute(select(jobs).where(jobs.c.id.in_(self.model))).all()
        names = ("state", "fence", "attempts")
        kept = {row.id: {name: getattr(row, name) for name in names} for row in rows}
        rows_of_model = {job: {name: row[name] for name in names} for job, row in self.model.items()}
        assert kept == rows_of_model, f"rows: {kept} instead of {rows_of_model}"
        due = {ring.job_id for ring in self.ledger.due()} & self.model.keys()
        free = {job for job, row in self.model.items() if self._is_due(row)}
        assert due == free, f"due: {len(due)} jobs can be claimed instead of {len(free)}"
        self._log_is_as_in_the_model()

    def _log_is_as_in_the_model(self) -> None:
        events = [logged.event for logged in self.ledger.events(self.run_id)]
        effects = sorted(event.config for event in events if isinstance(event, e.BaseRequested))
        done = sorted(job for job, row in self.model.items() if row["state"] == "done")
        assert effects == done, "log: each done job has its effect once, and no other job has one"
        deaths = sum(isinstance(event, e.JobDied) for event in events)
        assert deaths == sum(row["state"] == "dead" for row in self.model.values()), "log: a JobDied a death"

    def _message(self, name: int) -> e.Message:
        return e.RunStarted(run_id=self.run_id, config=str(name))

    def _is_due(self, row: dict[str, Any]) -> bool:
        until = {"ready": row["due_s"], "leased": row["until_s"]}.get(row["state"])
        return until is not None and until <= self.now_s

    def _holds(self, name: str, lease: Lease, write: Callable[[], object]) -> bool:
        row = self.model[lease[0]]
        held = bool(row["state"] == "leased" and row["fence"] == lease[1])
        try:
            write()
        except LostLeaseError:
            accepted = False
        else:
            accepted = True
        kept = "a lease that is held was refused" if held else "a lost lease was accepted"
        assert accepted == held, f"{name}: {kept}, the job is {row} and the fence {lease[1]}"
        return held

    def _shift(self, by_s: float) -> None:
        """Move every time in the ledger: the clock moves the other way."""
        times = (jobs.c.not_before, jobs.c.lease_until, jobs.c.ring_at)
        with self.ledger.database.write() as connection:
            connection.execute(update(jobs).values({time.name: time + by_s for time in times}))
            connection.execute(update(leaders).values(lease_until=leaders.c.lease_until + by_s))


def live_through(kind: type[Ledger], url: str, lives: int, shrink: bool = True) -> None:
    """Random lives, of 20 steps each, of a new ledger of that class. Prints the seed; raises what the first
    broken promise raised, in its shortest form."""
    ledger = kind(url, lease_s=LEASE_S, max_attempts=MAX_ATTEMPTS, ring_s=RING_S)
    ledger.create_schema()
    number = int(os.environ.get(SEED_VARIABLE) or secrets.randbits(32))
    print(f"{SEED_VARIABLE}={number} repeats this")
    life = seed(number)(type("LifeOfALedger", (Life,), {"ledger": ledger}))
    bounds = settings(
        max_examples=lives,
        stateful_step_count=20,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
    )
    run_state_machine_as_test(life, settings=bounds)

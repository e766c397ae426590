"""The ledger against a model of it, a dict of jobs, through random lives: claims, leases that run out,
workers that come back too late, retries, deaths, a clock that jumps. On both databases; failures shrink.
"""

import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, update

from shared.errors import LostLeaseError
from shared.ledger.ledger import Ledger
from shared.ledger.schema import jobs, leaders
from shared.messages import events as e

LEASE_S, RETRY_S, MAX_ATTEMPTS = 60.0, 30.0, 2
OPEN = ("ready", "leased")


class Life(RuleBasedStateMachine):
    """`model`: each job's row as it ought to be; times in seconds, moved by jumps alone."""

    known = Bundle("known")  # jobs
    leases = Bundle("leases")  # (job, fence), lost ones too: who holds one may not know
    ledger: Ledger

    @initialize()
    def begin(self) -> None:
        self.run_id, self.now_s = uuid.uuid4().hex, 0.0
        self.model: dict[str, dict[str, Any]] = {}
        self.ledger.create_run(self.run_id)
        self.ledger.overdue()

    @rule(target=known, name=st.integers(0, 1))
    def submit(self, name: int) -> str:
        message = e.RunStarted(run_id=self.run_id, config=str(name))
        rings = self.ledger.submit([message])
        fresh = {
            "state": "ready",
            "fence": 0,
            "attempts": 0,
            "due_s": self.now_s,
            "until_s": 0.0,
            "name": name,
        }
        known = [job for job, row in self.model.items() if row["name"] == name]
        assert len(rings) == (not known)
        job = known[0] if known else rings[0].job_id
        self.model.setdefault(job, fresh)
        return job

    @rule(target=leases, job=known)
    def claim(self, job: str) -> tuple[str, int]:
        row, claim = self.model[job], self.ledger.claim(job, "owner")
        if not self._is_due(row):
            assert claim is None
        elif row["attempts"] >= MAX_ATTEMPTS:
            assert claim is None
            row["state"] = "dead"
        else:
            row.update(state="leased", fence=row["fence"] + 1, attempts=row["attempts"] + 1)
            row["until_s"] = self.now_s + LEASE_S
            assert claim is not None
            assert (claim.fence, claim.attempt) == (row["fence"], row["attempts"])
        return job, row["fence"]

    @rule(lease=leases)
    def commit(self, lease: tuple[str, int]) -> None:
        effect = [e.BaseRequested(run_id=self.run_id, config=lease[0])]
        if self._holds(lease, lambda: self.ledger.commit(*lease, effect)):
            self.model[lease[0]]["state"] = "done"

    @rule(lease=leases, again=st.booleans())
    def fail(self, lease: tuple[str, int], again: bool) -> None:
        retry_s = RETRY_S if again else None
        if self._holds(lease, lambda: self.ledger.fail(*lease, "why", retry_s)):
            row = self.model[lease[0]]
            lives = again and row["attempts"] < MAX_ATTEMPTS
            row.update(state="ready" if lives else "dead", due_s=self.now_s + RETRY_S)

    @rule(lease=leases)
    def renew(self, lease: tuple[str, int]) -> None:
        row = self.model[lease[0]]
        held = row["state"] == "leased" and row["fence"] == lease[1]
        assert self.ledger.renew(*lease) == held
        if held:
            row["until_s"] = self.now_s + LEASE_S

    @rule()
    def reconcile(self) -> None:
        self.ledger.overdue()
        for row in self.model.values():
            if row["state"] == "leased" and row["until_s"] <= self.now_s:
                row["state"] = "ready"

    @rule(jump_s=st.sampled_from([20.0, 70.0, 3600.0]))
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
        assert kept == {job: {name: row[name] for name in names} for job, row in self.model.items()}
        due = {ring.job_id for ring in self.ledger.due()} & self.model.keys()
        assert due == {job for job, row in self.model.items() if self._is_due(row)}
        logged_events = [logged.event for logged in self.ledger.events(self.run_id)]
        effects = sorted(event.config for event in logged_events if isinstance(event, e.BaseRequested))
        assert effects == sorted(job for job, row in self.model.items() if row["state"] == "done")
        deaths = sum(isinstance(event, e.JobDied) for event in logged_events)
        assert deaths == sum(row["state"] == "dead" for row in self.model.values())

    def _is_due(self, row: dict[str, Any]) -> bool:
        until = {"ready": row["due_s"], "leased": row["until_s"]}.get(row["state"])
        return until is not None and until <= self.now_s

    def _holds(self, lease: tuple[str, int], write: Any) -> bool:
        row = self.model[lease[0]]
        held = bool(row["state"] == "leased" and row["fence"] == lease[1])
        if not held:
            with pytest.raises(LostLeaseError):
                write()
        else:
            write()
        return held

    def _shift(self, by_s: float) -> None:
        """Move every time in the ledger: the clock moves the other way."""
        times = (jobs.c.not_before, jobs.c.lease_until, jobs.c.ring_at)
        with self.ledger.database.write() as connection:
            connection.execute(update(jobs).values({time.name: time + by_s for time in times}))
            connection.execute(update(leaders).values(lease_until=leaders.c.lease_until + by_s))


@pytest.mark.slow
def test_whatever_happens_the_ledger_does_as_its_model(ledger_url: str) -> None:
    ledger = Ledger(ledger_url, lease_s=LEASE_S, max_attempts=MAX_ATTEMPTS)
    ledger.create_schema()
    life = type("LifeOfALedger", (Life,), {"ledger": ledger})
    quick = settings(
        max_examples=30,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(life, settings=quick)

"""Ledgers with one fault each, for a test of the state machine that has to find them."""

from collections.abc import Callable, Sequence

from sqlalchemy import update

from shared.ledger.ledger import Claim, Ledger, Ring
from shared.ledger.overdue import none_is_gone
from shared.ledger.schema import jobs
from shared.messages.events import Message


def _set(ledger: Ledger, job_id: str, **values: object) -> None:
    with ledger.database.write() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))


class NoFenceInCommit(Ledger):
    def commit(self, job_id: str, fence: int, messages: Sequence[Message]) -> list[Ring]:
        return super().commit(job_id, _fence_now(self, job_id), messages)


class NoFenceInFail(Ledger):
    def fail(
        self, job_id: str, fence: int, error: str, retry_after_s: float | None, *, transient: bool = False
    ) -> list[Ring]:
        return super().fail(job_id, _fence_now(self, job_id), error, retry_after_s, transient=transient)


class NoFenceInRenew(Ledger):
    def renew(self, job_id: str, fence: int) -> bool:
        return super().renew(job_id, _fence_now(self, job_id))


def _fence_now(ledger: Ledger, job_id: str) -> int:
    with ledger.database.read() as connection:
        return int(connection.execute(jobs.select().where(jobs.c.id == job_id)).one().fence)


class LeaseWithoutEnd(Ledger):
    def claim(self, job_id: str, owner: str) -> Claim | None:
        claim = super().claim(job_id, owner)
        if claim:
            _set(self, job_id, lease_until=1e12)
        return claim


class CommitThatRepeats(Ledger):
    def commit(self, job_id: str, fence: int, messages: Sequence[Message]) -> list[Ring]:
        with self.database.write() as connection:
            done = (jobs.c.id == job_id, jobs.c.fence == fence, jobs.c.state == "done")
            connection.execute(update(jobs).where(*done).values(state="leased"))
        return super().commit(job_id, fence, messages)


class OverdueForgetsLeases(Ledger):
    """What a vanished worker held stays with it."""

    def overdue(self, is_gone: Callable[[str], bool] = none_is_gone, stack: str = "") -> list[Ring]:
        with self.database.write() as connection:
            leased = update(jobs).where(jobs.c.state == "leased")
            connection.execute(leased.values(lease_until=jobs.c.lease_until + 1e6))
        try:
            return super().overdue(is_gone, stack)
        finally:
            with self.database.write() as connection:
                connection.execute(leased.values(lease_until=jobs.c.lease_until - 1e6))


class OverdueRingsOnce(Ledger):
    """A doorbell that is lost twice is lost for ever."""

    def overdue(self, is_gone: Callable[[str], bool] = none_is_gone, stack: str = "") -> list[Ring]:
        rings = super().overdue(is_gone, stack)
        for ring in rings:
            _set(self, ring.job_id, ring_at=1e12)
        return rings


class ClaimIgnoresDueTime(Ledger):
    """Of a retry that has to wait."""

    def claim(self, job_id: str, owner: str) -> Claim | None:
        _set(self, job_id, not_before=0.0)
        return super().claim(job_id, owner)


class ClaimIgnoresLease(Ledger):
    """Of another worker."""

    def claim(self, job_id: str, owner: str) -> Claim | None:
        _set(self, job_id, lease_until=0.0)
        return super().claim(job_id, owner)


FAULTS: dict[type[Ledger], str] = {  # ... and how the promise that it breaks begins
    NoFenceInCommit: "commit: a lost lease was accepted",
    NoFenceInFail: "fail: a lost lease was accepted",
    NoFenceInRenew: "renew: a lost lease was prolonged",
    LeaseWithoutEnd: "(due|claim|rows|overdue): ",
    CommitThatRepeats: "commit: a lost lease was accepted",
    OverdueForgetsLeases: "(rows|overdue): ",
    OverdueRingsOnce: "overdue: rang for",
    ClaimIgnoresDueTime: "claim: a job that is not due was leased",
    ClaimIgnoresLease: "(claim: a job that is not due was leased|fail: a lease that is held|rows: )",
}

"""The ledger's tables. A message's body is stored once, in `events`; jobs and arrivals point at it.

What changes here needs a revision in shared/ledger/migrations/versions, and REVISION names the last one."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text

REVISION = "0003"
metadata = MetaData()
_Seq = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up by itself only in an INTEGER key

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("state", String, nullable=False),  # running, or how it ended
    Column("stop_requested", Boolean, nullable=False),  # of older versions; now an event
    Column(
        "stack", String, nullable=False, server_default=""
    ),  # whose reconciler rings for it; empty: any stack's
)

events = Table(  # append only: the log
    "events",
    metadata,
    Column("seq", _Seq, primary_key=True),
    Column(
        "id", String(64), nullable=False, unique=True
    ),  # the message's digest: an event committed twice is one event
    Column("run_id", String, nullable=False, index=True),
    Column("job_id", String(64)),  # the job that emitted it; null: submitted from outside
    Column("at", Double, nullable=False),  # all times: seconds since 1970 on the database's clock
    Column("body", Text, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(64), primary_key=True),  # digest of (service, message)
    Column("seq", _Seq, nullable=False),  # its message in `events`
    Column("run_id", String, nullable=False),
    Column("service", String, nullable=False),
    Column("type", String, nullable=False),
    Column("state", String, nullable=False),  # ready, leased, done, dead
    Column("fence", Integer, nullable=False),  # counts leases; a write with an old one is refused
    Column("attempts", Integer, nullable=False),  # leases that count against max_attempts
    Column("owner", String, nullable=False),
    Column("lease_until", Double, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("ring_at", Double, nullable=False),  # when the reconciler rings if no worker has claimed it
    Column("rings", Integer, nullable=False),  # its rings since the last lease
    Column("failing_since", Double),  # first transient failure
    Column("last_error", Text, nullable=False),
    Index("jobs_open", "state", "ring_at"),
    Index("jobs_of_run", "run_id", "state"),
)

joins = Table(
    "joins",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("expected", Integer, nullable=False),
    Column("arrived", Integer, nullable=False),
)

arrivals = Table(
    "arrivals",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("join_id", String, primary_key=True),
    Column("slot", String, primary_key=True),
    Column("seq", _Seq, nullable=False),
)

leaders = Table(
    "leaders",
    metadata,
    Column("name", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("lease_until", Double, nullable=False),
)

names = Table(  # of objects in a store that has no names of its own (S3)
    "names",
    metadata,
    Column("kind", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("digest", String(64), nullable=False),
)

spending = Table(  # reserved and paid by all requests of a run that has caps
    "spending",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("usd", Double, nullable=False),
    Column("tokens", Double, nullable=False),
)

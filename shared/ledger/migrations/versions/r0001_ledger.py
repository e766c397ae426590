"""The ledger: runs, events, jobs, joins, arrivals, leaders."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("stop_requested", sa.Boolean, nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("seq", _SEQ, primary_key=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("job_id", sa.String(64)),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("ix_events_run_id", "events", ["run_id"])
    _create_jobs()
    op.create_table(
        "joins",
        sa.Column("run_id", sa.String, primary_key=True),
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("expected", sa.Integer, nullable=False),
        sa.Column("arrived", sa.Integer, nullable=False),
    )
    op.create_table(
        "arrivals",
        sa.Column("run_id", sa.String, primary_key=True),
        sa.Column("join_id", sa.String, primary_key=True),
        sa.Column("slot", sa.String, primary_key=True),
        sa.Column("seq", _SEQ, nullable=False),
    )
    op.create_table(
        "leaders",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("seq", _SEQ, nullable=False),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("service", sa.String, nullable=False),
        sa.Column("type", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("lease_until", sa.Double, nullable=False),
        sa.Column("not_before", sa.Double, nullable=False),
        sa.Column("ring_at", sa.Double, nullable=False),
        sa.Column("rings", sa.Integer, nullable=False),
        sa.Column("failing_since", sa.Double),
        sa.Column("last_error", sa.Text, nullable=False),
    )
    op.create_index("jobs_open", "jobs", ["state", "ring_at"])
    op.create_index("jobs_of_run", "jobs", ["run_id", "state"])

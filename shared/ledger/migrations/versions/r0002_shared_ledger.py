"""A ledger that several stacks share: which stack does a run, and names for stores that have none (S3)."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("runs", sa.Column("stack", sa.String, nullable=False, server_default=""))
    op.create_table(
        "names",
        sa.Column("kind", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
    )

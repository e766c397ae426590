"""A counter of each run's tokens and money, which all workers reserve from."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "spending",
        sa.Column("run_id", sa.String, primary_key=True),
        sa.Column("usd", sa.Double, nullable=False),
        sa.Column("tokens", sa.Double, nullable=False),
    )

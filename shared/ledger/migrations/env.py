"""Alembic runs this file. The connection, with its open transaction, comes from shared/ledger/migrate.py."""

from alembic import context

from shared.ledger.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()

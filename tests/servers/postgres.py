"""A private PostgreSQL cluster for tests, whose ledger is emptied and not made anew: quicker."""

from __future__ import annotations

import pytest

from ratchet.chaos import postgres
from ratchet.chaos.postgres import OWNER as OWNER
from shared.errors import ToolMissingError
from shared.ledger.ledger import Ledger
from shared.ledger.schema import metadata

PASSWORD = "correct horse"  # with a space: a URL has to quote it


class Postgres(postgres.Postgres):
    """Skips the test where PostgreSQL is not installed."""

    def __init__(self) -> None:
        try:
            super().__init__(PASSWORD, durable=False)
        except ToolMissingError as error:
            pytest.skip(str(error))
        self.migrated = ""

    def empty_ledger(self) -> str:
        """A migrated database whose tables are empty, the same one each time; its URL."""
        if not self.migrated:
            self.migrated = self.create("ledger")
            Ledger(self.migrated).create_schema()
        tables = ", ".join(table.name for table in metadata.sorted_tables)
        self.execute(f"TRUNCATE {tables} RESTART IDENTITY", database="ledger")
        return self.migrated

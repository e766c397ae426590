"""Names of objects, kept in the ledger's database: for a store that can't make the first of two writers win.
S3 can't: not every server honours a conditional put."""

from __future__ import annotations

from sqlalchemy import Select, select

from shared.ledger.database import Database, tried_again
from shared.ledger.schema import names


class LedgerNames:
    """`bind` and `lookup` as a Store has them. Raises LedgerError."""

    def __init__(self, database: Database) -> None:
        self.database = database

    @tried_again
    def bind(self, kind: str, key: str, digest: str) -> str:
        with self.database.write() as connection:
            row = {"kind": kind, "key": key, "digest": digest}
            self.database.insert_once(connection, names, row, names.c.digest)
            return str(connection.execute(_named(kind, key)).scalar_one())

    def lookup(self, kind: str, key: str) -> str | None:
        with self.database.read() as connection:
            return connection.execute(_named(kind, key)).scalar_one_or_none()


def _named(kind: str, key: str) -> Select[str]:
    return select(names.c.digest).where(names.c.kind == kind, names.c.key == key)

"""A database's error as a LedgerError with a hint. No connections here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, TimeoutError

from shared.errors import LedgerError, LedgerRefusedError

_UNDONE = {"40001", "40P01"}  # PostgreSQL: serialization_failure, deadlock_detected
_PASSES = {  # a part of the reason, and its hint
    "full": "free some space; nothing accepted is lost",
    "No space left": "free some space; nothing accepted is lost",
    "disk I/O": "is the disk full? nothing accepted is lost",
    "locked": "another process holds it; this is tried again",
    "lock timeout": "another process holds it; this is tried again",
    "no such table": "that file is no ledger: give a run made by `ratchet run`",
    "unable to open": "does its folder exist, and may this user write there?",
    "readonly": "give this user the right to write there",
    "too many clients": "raise max_connections there, or run fewer workers",
    "connection slots": "raise max_connections there, or run fewer workers",
}
_REFUSED = {
    "password authentication failed": "correct the URL's user, or PGPASSWORD, or what ledger_password names",
    "no password supplied": "put the password into PGPASSWORD, or where ledger_password points",
    "no pg_hba.conf entry": "let pg_hba.conf admit this user, database, address and encryption",
    "certificate": "name the right sslrootcert in the URL, or correct the server's certificate",
    "SSL": "does the server offer TLS? set sslmode in the URL as it does",
    "permission denied": "GRANT this user SELECT, INSERT, UPDATE on all tables and USAGE on all sequences",
    "relation": "`ratchet migrate --ledger URL` makes the tables",
    "does not exist": "create that user and database, or correct the URL",
    "column": "`ratchet migrate --ledger URL` brings the tables up to date",
}


class UndoneError(LedgerError):
    """PostgreSQL undid the transaction in favour of another. It may be done anew at once."""


@contextmanager
def as_ledger_error() -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _translated(error) from error
    except TimeoutError as error:
        raise LedgerError("all connections of this process are taken", "this is tried again") from error


def _translated(error: DBAPIError) -> LedgerError:
    reason = " ".join(str(error.orig).split())
    if getattr(error.orig, "sqlstate", None) in _UNDONE:
        return UndoneError(f"the database undid a transaction: {reason}", "this is tried again")
    message = f"the ledger can't be used: {reason}"
    for sign, hint in _PASSES.items():
        if sign in reason:
            return LedgerError(message, hint)
    for sign, hint in _REFUSED.items():
        if sign in reason:
            return LedgerRefusedError(message, hint)
    return LedgerError(message, "is the database up?")

"""`ratchet migrate`: the schema of a shared ledger. A run's own file migrates itself."""

from __future__ import annotations

from ratchet.runs import parts
from shared.config import secrets
from shared.config.settings import StackParts
from shared.ledger.migrate import migrate as apply
from shared.ledger.migrate import missing_revisions


def migrate(url: str, dry_run: bool) -> list[str]:
    """A line for each revision that was, or would be, applied. Raises SettingsError, LedgerError."""
    chosen: StackParts = parts.checked({"ledger_url": url})
    database = secrets.open_ledger(chosen).database
    steps = missing_revisions(database) if dry_run else apply(database)
    word = "would apply" if dry_run else "applied"
    return [f"{word} {step}" for step in steps] or ["the ledger is up to date"]

"""Replies by the key of their request (Idempotency-Key), on disk: a client that died before it could store a
reply gets the same one when it asks again, also after the server was restarted. A request without a key is
not remembered.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from shared.messages.records import JsonObject, digest_of

MOST_REPLIES = 100_000  # about a generation's worth of a large run; the oldest go


class ReplyCache:
    """One file. `path` None: in memory, for as long as the process lives."""

    def __init__(self, path: Path | None) -> None:
        self._file = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=NORMAL")  # outlives the process, not the machine's power
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, request TEXT, reply TEXT)"
        )
        newest = "SELECT rowid FROM replies ORDER BY rowid DESC LIMIT ?"
        self._file.execute(f"DELETE FROM replies WHERE rowid NOT IN ({newest})", (MOST_REPLIES,))

    def find(self, key: str | None, request: JsonObject) -> JsonObject | None:
        """None too where the key stood for another request."""
        query = "SELECT reply FROM replies WHERE key = ? AND request = ?"
        row = self._file.execute(query, (key, digest_of(request))).fetchone() if key else None
        reply: JsonObject | None = json.loads(row[0]) if row else None
        return reply

    def keep(self, key: str | None, request: JsonObject, reply: JsonObject) -> None:
        if key:
            row = (key, digest_of(request), json.dumps(reply))
            self._file.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?)", row)

"""A store to derive decisions on: it reads what is stored and keeps what is written in memory."""

from __future__ import annotations

import hashlib
from pathlib import Path

from shared.store.store import Store


class ScratchStore:
    """A Store over another one, which is never written to."""

    def __init__(self, stored: Store) -> None:
        self._stored = stored
        self._objects: dict[str, bytes] = {}
        self._names: dict[tuple[str, str], str] = {}

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self._objects[digest] = data
        return digest

    def get(self, digest: str) -> bytes:
        found = self._objects.get(digest)
        return self._stored.get(digest) if found is None else found

    def has(self, digest: str) -> bool:
        return digest in self._objects or self._stored.has(digest)

    def put_file(self, path: Path, shared: bool = False) -> str:
        return self.put(path.read_bytes())

    def get_file(self, digest: str, path: Path) -> None:
        path.write_bytes(self.get(digest))

    def bind(self, kind: str, key: str, digest: str) -> str:
        return self.lookup(kind, key) or self._names.setdefault((kind, key), digest)

    def lookup(self, kind: str, key: str) -> str | None:
        return self._names.get((kind, key)) or self._stored.lookup(kind, key)

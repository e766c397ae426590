"""A store that reads each object and each name once, for a program that looks again and again. What is
written never changes, so nothing of it can be out of date.
"""

from __future__ import annotations

from pathlib import Path

from shared.store.store import Store


class Remembered:
    """Keeps all that was read in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._objects: dict[str, bytes] = {}
        self._names: dict[tuple[str, str], str] = {}

    def get(self, digest: str) -> bytes:
        if digest not in self._objects:
            self._objects[digest] = self._store.get(digest)
        return self._objects[digest]

    def lookup(self, kind: str, key: str) -> str | None:
        if (kind, key) not in self._names:
            found = self._store.lookup(kind, key)
            if found is None:  # it may be bound later
                return None
            self._names[kind, key] = found
        return self._names[kind, key]

    def has(self, digest: str) -> bool:
        return digest in self._objects or self._store.has(digest)

    def put(self, data: bytes) -> str:
        return self._store.put(data)

    def put_file(self, path: Path, shared: bool = False) -> str:
        return self._store.put_file(path, shared)

    def get_file(self, digest: str, path: Path) -> None:
        self._store.get_file(digest, path)

    def bind(self, kind: str, key: str, digest: str) -> str:
        return self._store.bind(kind, key, digest)

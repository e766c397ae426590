"""Stores for tests, each with a way to damage its objects behind its back."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shared.ledger.ledger import Ledger
from shared.ledger.names import LedgerNames
from shared.store.s3 import Keys, Patience, S3Store, read_url
from shared.store.store import LocalStore, Store
from tests.servers.s3 import ACCESS, SECRET, Server


@dataclass(frozen=True)
class KeptStore:
    store: Store
    overwrite: Callable[[str, bytes], None]
    remove: Callable[[str], None]


def in_folder(root: Path) -> KeptStore:
    store = LocalStore(root)

    def place(digest: str) -> Path:
        return root / "objects" / digest[:2] / digest

    return KeptStore(
        store,
        lambda digest, data: bool(place(digest).write_bytes(data)),
        lambda digest: place(digest).unlink(),
    )


def in_bucket(server: Server, names: Path) -> KeptStore:
    """Under a prefix of its own, so that one server serves all tests."""
    store = s3_store(server.url(f"tests/{uuid.uuid4()}"), names, keys=server.keys)
    client, bucket = store._client, store.place.bucket

    def overwrite(digest: str, data: bytes) -> None:
        client.put_object(bucket, store._key(digest), io.BytesIO(data), len(data))

    return KeptStore(store, overwrite, lambda digest: client.remove_object(bucket, store._key(digest)))


def s3_store(url: str, names: Path, patience: Patience | None = None, keys: Keys | None = None) -> S3Store:
    ledger = Ledger(f"sqlite:///{names}")
    ledger.create_schema()
    return S3Store(
        read_url(url), keys or Keys(ACCESS, SECRET), LedgerNames(ledger.database), patience or Patience()
    )

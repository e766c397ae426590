"""Reads secrets from environment variables or files that the settings name, and opens a stack's ledger, store
and broker with them. No other file reads secrets, and none is ever written to a file or a log.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from shared.config.settings import StackParts, StackSettings
from shared.errors import SettingsError
from shared.ledger.database import Database
from shared.ledger.ledger import Ledger
from shared.ledger.names import LedgerNames
from shared.store.store import LocalStore, Store

if TYPE_CHECKING:
    from shared.store.s3 import Keys, S3Objects


def read_secret(name: str) -> str:
    """What `env:NAME` or `file:/path` holds; empty where the variable is not set. Raises SettingsError for a
    file that can't be read."""
    kind, _, where = name.partition(":")
    if kind == "env":
        return os.environ.get(where, "")
    try:
        return Path(where).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SettingsError(f"can't read the secret in {where}: {reason}", "is it mounted there?") from None


def read_or_make_secret(name: str, make: Callable[[], str]) -> str:
    """As read_secret; a file that is not there is made, for its owner alone. Raises SettingsError where the
    variable is not set."""
    kind, _, where = name.partition(":")
    if kind == "file" and not Path(where).exists():
        _make_private(Path(where), make())
    secret = read_secret(name)
    if not secret:
        raise SettingsError(f"{where} holds no secret", "set it, or name a file: file:/path")
    return secret


def _make_private(path: Path, text: str) -> None:
    """Whole or not at all; the first of several processes wins."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent)  # mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        Path(temporary).unlink()


def open_ledger(parts: StackParts) -> Ledger:
    """The ledger that the settings name; no connection is opened yet. StackSettings also set its lease,
    retries and reconciler."""
    if not isinstance(parts, StackSettings):
        return Ledger(ledger_url(parts), outage_s=parts.outage_s)
    patience = {"lease_s": parts.lease_s, "ring_s": parts.reconcile_s}
    return Ledger(ledger_url(parts), max_attempts=parts.max_attempts, outage_s=parts.outage_s, **patience)


def ledger_url(parts: StackParts) -> str:
    """With the password in it: for SQLAlchemy alone, which masks it whenever it prints the URL."""
    if parts.ledger_url.startswith("sqlite:"):
        return parts.ledger_url
    return _with_password(parts.ledger_url, read_secret(parts.ledger_password))


def open_store(parts: StackParts) -> Store:
    """The store that the settings name; on S3 its names are in the ledger. Open it after a fork."""
    if not on_s3(parts):
        return LocalStore(Path(parts.store_url.removeprefix("file://")))
    from shared.store.s3 import S3Store, read_url

    return S3Store(read_url(parts.store_url), _store_keys(parts), LedgerNames(Database(ledger_url(parts))))


def open_objects(parts: StackParts) -> S3Objects:
    """Of a store on S3, before there is a ledger."""
    from shared.store.s3 import S3Objects, read_url

    return S3Objects(read_url(parts.store_url), _store_keys(parts))


def on_s3(parts: StackParts) -> bool:
    return parts.store_url.startswith("s3:")


def broker_url(parts: StackParts) -> str:
    """With the password in it, and with a certificate that must be checked: for Celery and redis alone."""
    url = _with_password(parts.broker_url, read_secret(parts.broker_password))
    if not url.startswith("rediss:"):
        return url
    split = urlsplit(url)
    query = {"ssl_cert_reqs": "required"} | dict(parse_qsl(split.query))
    return split._replace(query=urlencode(query)).geturl()


def _store_keys(parts: StackParts) -> Keys:
    from shared.store.s3 import Keys  # takes half a second to import

    access, secret = read_secret(parts.store_access_key), read_secret(parts.store_secret_key)
    return Keys(access, secret, read_secret(parts.store_session_token))


def _with_password(url: str, password: str) -> str:
    split = urlsplit(url)
    if not password:
        return url
    user, _, host = split.netloc.rpartition("@")
    return split._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()

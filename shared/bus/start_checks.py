"""Checks of a stack's ledger, store and broker before a program starts: reachable, access granted, the right
schema and settings. A wrong setting is an error at once; a worker waits for what is only unreachable.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from shared.bus.celery_config import refuse_eviction
from shared.config.secrets import broker_url, on_s3, open_ledger, open_objects
from shared.config.settings import StackParts, StackSettings
from shared.errors import (
    LedgerError,
    LedgerRefusedError,
    SettingsError,
    StoreRefusedError,
    StoreUnavailableError,
)
from shared.ledger.migrate import check_schema, settle_schema

PAUSE_S = 2.0
UNREACHABLE = "is it running, and with TLS as in the URL (rediss://) or without (redis://)?"
_log = logging.getLogger(__name__)


def check_parts(parts: StackParts) -> list[str]:
    """For the command line: every part that the user named must be usable now. Returns warnings. Raises
    RatchetError."""
    if parts.ledger_url:
        settle_schema(open_ledger(parts).database)
    if parts.store_url:
        check_store(parts)
    return check_broker(parts) if parts.broker_url else []


def wait_for_parts(stack: StackSettings) -> None:
    """For a worker: returns when the ledger answers. An unreachable store or broker is only logged: their
    clients retry. Raises RatchetError for a wrong setting."""
    ledger = open_ledger(stack)
    while True:
        try:
            check_schema(ledger.database)
            break
        except LedgerRefusedError:
            raise
        except LedgerError as error:
            _log.warning("waiting for the ledger: %s", error)
            time.sleep(PAUSE_S)
    try:
        check_store(stack)
    except StoreRefusedError:
        raise
    except StoreUnavailableError as error:
        _log.warning("the store does not answer yet: %s", error)
    for warning in check_broker(stack, must_answer=False):
        _log.warning("%s", warning)


def check_store(parts: StackParts) -> None:
    """Raises StoreRefusedError, StoreUnavailableError. A folder needs no check: writing to it raises the
    same."""
    if on_s3(parts):
        open_objects(parts).check()


def check_broker(parts: StackParts, must_answer: bool = True) -> list[str]:
    """Returns warnings about a broker that does not keep its queues on disk. Raises SettingsError for one
    that may evict queues or denies access, and, if it must answer, for one that is unreachable."""
    import redis

    try:
        with redis.Redis.from_url(broker_url(parts), socket_timeout=5, socket_connect_timeout=5) as client:
            facts: dict[str, Any] = client.info("memory") | client.info("persistence")
    except (redis.RedisError, OSError) as error:
        problem = f"the broker {parts.broker_url} can't be used: {error}"
        hint = _hint(error)
        if must_answer or hint:
            raise SettingsError(problem, hint or UNREACHABLE) from None
        return [f"{problem}: the worker tries again"]
    except ValueError as error:
        raise SettingsError(f"not a broker URL: {error}", "redis://user@host:6379/0, or rediss://") from None
    refuse_eviction(str(facts.get("maxmemory_policy", "noeviction")))
    return _lacks_persistence(facts)


def _hint(error: Exception) -> str:
    """What to do about denied access; empty: the broker is only unreachable."""
    import redis

    if isinstance(error, redis.AuthenticationError) or "NOAUTH" in str(error):
        return (
            "put the user into the URL and the password into REDIS_PASSWORD (or where broker_password points)"
        )
    if isinstance(error, redis.exceptions.NoPermissionError):
        return "ACL SETUSER that user +info, and all keys and channels that begin with the queue's prefix"
    if "CERTIFICATE_VERIFY_FAILED" in str(error) or "No such file" in str(error):
        return "name the authority that signed its certificate: rediss://host:6379/0?ssl_ca_certs=/path"
    return ""


def _lacks_persistence(facts: dict[str, Any]) -> list[str]:
    """Lost doorbells are published again by the reconciler: no error, but no job runs until then."""
    if not facts.get("aof_enabled"):
        return [
            "the broker loses its queues when it restarts; no job runs until the reconciler publishes them"
            " again (CONFIG SET appendonly yes, and appendonly yes in its configuration)"
        ]
    if facts.get("aof_last_write_status", "ok") != "ok":
        return ["the broker can't write to its disk (free some space there)"]
    return []

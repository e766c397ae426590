"""What a program asks of a stack's ledger, store and broker before it begins: that they are there, let it in
and are what they must be. A wrong setting is an error at once; to a worker, what is only away is waited for.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import redis

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
AWAY = "is it running, and does it speak TLS (rediss://) or not (redis://) as the URL says?"
_log = logging.getLogger(__name__)


def check_parts(parts: StackParts) -> list[str]:
    """For the command line: all that was given must be usable now. Warnings. Raises RatchetError."""
    if parts.ledger_url:
        settle_schema(open_ledger(parts).database)
    if parts.store_url:
        check_store(parts)
    return check_broker(parts) if parts.broker_url else []


def wait_for_parts(stack: StackSettings) -> None:
    """For a worker: until the ledger answers. A store or a broker that is away is asked again by whoever
    needs it. Raises RatchetError for a wrong setting."""
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
    """Raises StoreRefusedError, StoreUnavailableError. A folder needs no check: who writes there says so."""
    if on_s3(parts):
        open_objects(parts).check()


def check_broker(parts: StackParts, must_answer: bool = True) -> list[str]:
    """Warnings about a broker that forgets. Raises SettingsError for one that may evict queues or does not
    let us in, and, if it must answer, for one that is away."""
    try:
        with redis.Redis.from_url(broker_url(parts), socket_timeout=5, socket_connect_timeout=5) as client:
            facts: dict[str, Any] = client.info("memory") | client.info("persistence")
    except (redis.RedisError, OSError) as error:
        said = f"the broker {parts.broker_url} can't be used: {error}"
        hint = _hint(error)
        if must_answer or hint:
            raise SettingsError(said, hint or AWAY) from None
        return [f"{said}: the worker goes on asking"]
    except ValueError as error:
        raise SettingsError(f"not a broker URL: {error}", "redis://user@host:6379/0, or rediss://") from None
    refuse_eviction(str(facts.get("maxmemory_policy", "noeviction")))
    return _forgets(facts)


def _hint(error: Exception) -> str:
    """What to do about a refusal; empty: the broker is only away."""
    if isinstance(error, redis.AuthenticationError) or "NOAUTH" in str(error):
        return "the user is in the URL, the password where broker_password says: REDIS_PASSWORD"
    if isinstance(error, redis.exceptions.NoPermissionError):
        return "ACL SETUSER that user +info, and all keys and channels that begin with the queue's prefix"
    if "CERTIFICATE_VERIFY_FAILED" in str(error) or "No such file" in str(error):
        return "name the authority that signed its certificate: rediss://host:6379/0?ssl_ca_certs=/path"
    return ""


def _forgets(facts: dict[str, Any]) -> list[str]:
    """Lost doorbells are rung again by the reconciler: no error, but work stands still until then."""
    if not facts.get("aof_enabled"):
        return [
            "the broker forgets its queues when it restarts, and work stands still until the reconciler rings"
            " again (CONFIG SET appendonly yes, and appendonly yes in its configuration)"
        ]
    if facts.get("aof_last_write_status", "ok") != "ok":
        return ["the broker can't write to its disk (free some space there)"]
    return []

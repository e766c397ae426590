"""The first difference between two JSON values, followed into the objects that digests name."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from shared.errors import RatchetError
from shared.store.store import Store

_DIGEST = re.compile(r"[0-9a-f]{64}")
SHOWN = 200  # characters of a value


@dataclass(frozen=True)
class Difference:
    """`where`: keys and places with dots between, "->" into an object that is named by digest."""

    where: str
    stored: str
    derived: str


def first_difference(stored: Any, derived: Any, store: Store, where: str = "") -> Difference | None:
    """None: they are equal."""
    if stored == derived:
        return None
    if isinstance(stored, dict) and isinstance(derived, dict):
        for key in [*stored, *(key for key in derived if key not in stored)]:
            place = f"{where}.{key}" if where else str(key)
            if found := first_difference(stored.get(key), derived.get(key), store, place):
                return found
    if isinstance(stored, list) and isinstance(derived, list):
        for number, (one, other) in enumerate(zip(stored, derived, strict=False)):
            if found := first_difference(one, other, store, f"{where}[{number}]"):
                return found
    if _is_digest(stored) and _is_digest(derived):
        inside = _object(stored, store), _object(derived, store)
        if None not in inside and (found := first_difference(*inside, store, f"{where} ->")):
            return found
    return Difference(where, _text(stored), _text(derived))


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _object(digest: str, store: Store) -> Any:
    """Its JSON; None where it has none."""
    try:
        return json.loads(store.get(digest))
    except (RatchetError, ValueError):
        return None


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."

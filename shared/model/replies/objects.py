"""The JSON objects in a model's reply, whatever prose, fences or thinking block surrounds them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, NoReturn

from shared.messages.plain import plain
from shared.messages.records import JsonObject

MOST_STARTS = 1000  # places where one may begin: a bound for replies that are nothing but braces


def objects_in(text: str) -> Iterator[JsonObject]:
    """Each outermost object, in order. None holds a number that JSON can't (NaN) or a float can't (1e999)."""
    decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
    start = text.find("{")
    for _ in range(MOST_STARTS):
        if start < 0:
            return
        try:
            value, end = decoder.raw_decode(text, start)
            repaired: Any = plain(value)
        except (ValueError, RecursionError):
            start = text.find("{", start + 1)
            continue
        yield repaired
        start = text.find("{", end)


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits)


def _refuse(digits: str) -> NoReturn:
    raise ValueError(f"{digits} is not a JSON number")

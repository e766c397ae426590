"""Makes the output of a box or a model fit to be stored. JSON may hold halves of surrogate pairs, which
are no characters and have no UTF-8: two that fit are put together, others become U+FFFD.
"""

from __future__ import annotations

import re
from typing import Any

_HALF = re.compile("[\ud800-\udfff]")


def plain_text(text: str) -> str:
    if not _HALF.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def plain(value: Any) -> Any:
    """A JSON value with every text in it repaired, names too. Raises RecursionError if it is too deep."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {plain_text(name): plain(item) for name, item in value.items()}
    return value

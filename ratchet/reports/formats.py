"""Numbers as text for people: intervals. Units stand beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def interval_text(interval: Mapping[str, Any] | None) -> str:
    """`0.512 [0.480, 0.544]`, or `-` where nothing was measured."""
    if not interval or interval.get("mean") is None:
        return "-"
    return f"{interval['mean']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"

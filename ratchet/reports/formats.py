"""Numbers as text for people: intervals, four significant digits. Units stand beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NO_SCREEN = "not measured"  # why an arm has no interval, where the decision itself says the rest


def number_text(value: object) -> str:
    """A float with four significant digits, anything else as it is."""
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def interval_text(interval: Mapping[str, Any] | None) -> str:
    """`0.512 [0.480, 0.544]`, or `-` where nothing was measured."""
    if not interval or interval.get("mean") is None:
        return "-"
    return f"{interval['mean']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def unmeasured_texts(reasons: Mapping[str, str]) -> list[str]:
    """A line for each arm that was not measured, with the reason; for `both` where it has one of its own.
    None where no screen was opened."""
    others = [reason for arm, reason in reasons.items() if arm != "both"]
    told = {
        arm: reason
        for arm, reason in reasons.items()
        if reason != NO_SCREEN and not (arm == "both" and any(other in reason for other in others))
    }
    return [f"{arm} was not measured: {reason}" for arm, reason in told.items()]


def spent_text(cost: dict[str, Any]) -> str:
    """Tokens, how many of them were estimated, and money where there is any."""
    tokens, estimated = cost["prompt_tokens"] + cost["completion_tokens"], cost["estimated_tokens"]
    about = (
        f" (about {estimated:,} of them estimated: the endpoint does not report them)" if estimated else ""
    )
    return f"{tokens:,} tokens{about}" + (f", ${cost['usd']:.4f}" if cost["usd"] else "")

"""Results as pandas frames. Nothing is computed here: a frame is `ratchet show --json` as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from shared.errors import ToolMissingError
from shared.messages.records import ARMS

if TYPE_CHECKING:
    import pandas as pd

EVIDENCE = ("chosen", "pairs", "e_value", "threshold", "alpha")
COSTS = ("evaluations", "prompt_tokens", "completion_tokens", "train_s", "usd")


def frame_of(rows: Sequence[Mapping[str, Any]], index: str) -> pd.DataFrame:
    """Raises ToolMissingError where pandas is not installed."""
    try:
        import pandas as pd
    except ImportError:
        raise ToolMissingError("tables need pandas", "pip install 'ratchet-sia[notebook]'") from None
    frame = pd.DataFrame(list(rows))
    return frame.set_index(index) if index in frame else frame


def generations_frame(shown: Mapping[str, Any]) -> pd.DataFrame:
    """A row a generation. An arm has three columns (`both`, `both_low`, `both_high`: 95 %), in units of the
    score; NaN where it was not measured. `gain` is the confirmed difference to base."""
    return frame_of([_generation_row(found) for found in shown["generations"]], "generation")


def _generation_row(found: Mapping[str, Any]) -> dict[str, Any]:
    evidence = found["gate"]["evidence"] or {}
    row: dict[str, Any] = {"generation": found["generation"], "decision": found["gate"]["decision"]}
    for arm in ARMS:
        row |= _interval(arm, found["arms"][arm])
    row |= _interval("gain", evidence.get("gain"))
    row |= {name: evidence.get(name) for name in EVIDENCE}
    row |= {name: found["cost"][name] for name in COSTS}
    return row | {"harness": found["harness"], "adapter": found["adapter"], "why": found["gate"]["why"]}


def _interval(name: str, interval: Mapping[str, Any] | None) -> dict[str, Any]:
    found = interval or {}
    return {name: found.get("mean"), f"{name}_low": found.get("low"), f"{name}_high": found.get("high")}

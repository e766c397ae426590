"""What `ratchet replay RUN` prints."""

from __future__ import annotations

from typing import Any

from ratchet.replay.deriving import Mismatch, replay
from ratchet.runs.folder import RunFolder


def replay_run(folder: RunFolder) -> dict[str, Any]:
    ledger = folder.open_ledger()
    log = ledger.events(folder.run_id)
    found = replay(log, ledger.handled(folder.run_id), folder.open_store())
    shown = {"run": folder.run_id, "equal": found.first is None, "handled": found.handled}
    shown |= {"events": found.events, "first_difference": None}
    if found.first is None:
        text = f"equal: {found.events} events in {found.handled} decisions of {folder.run_id}, derived again"
        return shown | {"text": text}
    return shown | {"first_difference": _difference(found.first), "text": _text(found.first)}


def _difference(mismatch: Mismatch) -> dict[str, Any]:
    found = mismatch.difference
    return {
        "generation": mismatch.generation,
        "after": mismatch.after,
        "event": mismatch.event,
        "where": found.where,
        "stored": found.stored,
        "derived": found.derived,
    }


def _text(mismatch: Mismatch) -> str:
    found = mismatch.difference
    where = f"{mismatch.event}.{found.where}" if found.where else mismatch.event
    return (
        f"generation {mismatch.generation}, after {mismatch.after}: {where} differs\n"
        f"  stored:  {found.stored}\n  derived: {found.derived}"
    )

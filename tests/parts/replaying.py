"""Every run that a test makes is derived again from its ledger and its store, and must come out equal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ratchet.replay.deriving import replay
from ratchet.runs.folder import RunFolder
from shared.errors import RatchetError
from shared.ledger.ledger import Ledger
from shared.store.store import Store

BULKY = {"store", "logs", ".cache", "broker", "report", "harness"}  # folders that hold no run


def must_replay_equal(ledger: Ledger, run_id: str, store: Store) -> None:
    found = replay(ledger.events(run_id), ledger.handled(run_id), store)
    assert found.first is None, f"run {run_id}: {found.first}"


def replay_all_below(root: Path) -> None:
    """The runs of `ratchet run` anywhere below, as far as their ledgers can still be read."""
    for path in _run_folders(root):
        folder = RunFolder(path)
        try:
            ledger = folder.open_ledger()
            known = folder.run_id in ledger.run_states()
        except RatchetError:  # a test took it away, or damaged it
            continue
        if known:
            must_replay_equal(ledger, folder.run_id, folder.open_store())


def _run_folders(root: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in BULKY]
        if "config.json" in files and ({"ledger.sqlite", "in_stack"} & set(files)):
            yield Path(place)

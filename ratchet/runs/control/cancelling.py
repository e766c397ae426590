"""`ratchet cancel`: ends a run for good, and waits until its own stack's processes have ended."""

from __future__ import annotations

import time

from ratchet.runs import folder as runs
from ratchet.runs.folder import RunFolder
from shared.errors import SettingsError
from shared.ledger.steering import reopening

WAIT_S = 40.0  # a stack gets 25 s to end in order
POLL_S = 0.5


def cancel(folder: RunFolder) -> str:
    """A line that describes what was done. Raises SettingsError where the run has ended."""
    count = reopening.cancel(folder.open_ledger(), folder.run_id)
    done = f"{folder.run_id} is cancelled: {count} open jobs ended with it, what is stored is kept"
    if folder.stack is not None:
        return f"{done}; workers of {folder.stack} that hold one end its processes within a lease"
    if _has_no_driver(folder):
        return f"{done}; no process works on it"
    return f"{done}; its process has not ended yet: `ratchet show {folder.run_id}`"


def _has_no_driver(folder: RunFolder) -> bool:
    until_s = time.monotonic() + WAIT_S
    while True:
        try:
            with runs.sole_driver(folder):
                return True
        except SettingsError:
            if time.monotonic() > until_s:
                return False
        time.sleep(POLL_S)

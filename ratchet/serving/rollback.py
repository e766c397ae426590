"""Takes promotions of a run back. Nothing is undone or deleted: the older release's parts are in the store by
their digests, and an event makes it the live one. A further generation, `serve --follow` and `export` use it
from then on; a generation under way that was compared with the other release is not promoted.
"""

from __future__ import annotations

from ratchet.runs.evaluate import after_generation
from ratchet.runs.folder import RunFolder
from shared.errors import SettingsError
from shared.ledger.history.folding import fold
from shared.ledger.history.state import RunHistory
from shared.messages.events import ReleaseRolledBack
from shared.messages.records import Release


def roll_back(folder: RunFolder, generation: str = "") -> str:
    """A line that describes what was done. Raises SettingsError where there is nothing to go back to."""
    ledger = folder.open_ledger()
    history = fold(ledger.events(folder.run_id))
    release, where = _target(history, generation)
    if release == history.release:
        raise SettingsError(
            f"{where} is live already", f"`ratchet show {folder.run_id}` lists the promotions"
        )
    why = f"to {where}"
    number = len(history.rollbacks) + 1
    ledger.submit([ReleaseRolledBack(run_id=folder.run_id, release=release, number=number, why=why)])
    parts = f"harness {release.harness[:12]}, adapter {(release.adapter or 'none')[:12]}"
    return f"{folder.run_id} is back {why}: {parts}"


def _target(history: RunHistory, generation: str) -> tuple[Release, str]:
    if generation:
        release = after_generation(history, generation)
        where = f"the release after generation {generation}" if int(generation) else "the first release"
    else:
        promoted = next((past for past in history.promotions if past.promoted == history.release), None)
        release = promoted.release if promoted else None
        where = f"the release before generation {promoted.number}" if promoted else ""
    if release is None:
        raise SettingsError(
            "there is no promotion to take back", "name a generation: `ratchet rollback RUN 0`"
        )
    return release, where

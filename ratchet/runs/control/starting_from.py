"""`ratchet run --from RUN:GENERATION`: a new run that starts from a release of another. The release's objects
are copied into the new run's store, so that the other run may be deleted; which one it was is in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ratchet.runs.evaluate import find_release, signed_by
from ratchet.runs.request import Origin
from shared.config.settings import RunConfig
from shared.decisions.posted import posted_instances
from shared.errors import SettingsError
from shared.ledger.history.folding import fold
from shared.store.store import Store, copy_bundle, put_json
from shared.tasks.task import Task, load_task


def find_origin(text: str, root: Path, task: Task) -> Origin | None:
    """None for no text. Raises SettingsError for an unknown run or generation, and for a run of another
    task."""
    if not text:
        return None
    folder, release = find_release(text, root)
    config = folder.config()
    theirs = load_task(config.run.task)
    if theirs.name != task.name:
        raise SettingsError(
            f"{text} is a release for the task {theirs.name!r}, not for {task.name!r}",
            "a harness is made for its task",
        )
    store = folder.open_store()
    history = fold(folder.open_ledger().events(folder.run_id))
    trust = signed_by(folder, release)
    return Origin(text, release, config, store, trust, posted_instances(history, store))


def settings_of(origin: Origin | None) -> dict[str, Any]:
    """The layer that lies below the user's: the release's model, and another seed, so that the instances that
    judged the release don't judge what follows from it."""
    if origin is None:
        return {}
    model = origin.config.model.model_dump(mode="json")
    return {"model": model, "run": {"seed": origin.config.run.seed + 1}}


def require_same_model(origin: Origin, config: RunConfig) -> None:
    """Raises SettingsError where the release's weights are of another base."""
    had, has = origin.config.model, config.model
    if (had.base, had.url and had.name) != (has.base, has.url and has.name):
        raise SettingsError(
            f"{origin.name} was made with the model {had.name} ({had.base}), not {has.name} ({has.base})",
            "leave model.base, model.url and model.name as they were",
        )


def copy_release(origin: Origin, into: Store) -> None:
    """Its parts, as far as they are stored (an endpoint keeps its own base), and the train instances that
    come with it."""
    digests: Sequence[str | None] = (origin.release.base, origin.release.harness, origin.release.adapter)
    for digest in digests:
        if digest and not digest.startswith("endpoint:"):
            copy_bundle(origin.store, into, digest)
    if origin.posted:
        put_json(into, list(origin.posted))

"""`ratchet eval`: scores any release on the user's own instances, through the same services as a run.

The evaluation is a run of its own, with its own ledger, on the store of the run that made the release.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from ratchet.runs import checks, parts
from ratchet.runs import folder as runs
from ratchet.runs.comparing import by_name, compared
from ratchet.runs.endpoint import settle
from ratchet.runs.folder import RunFolder
from ratchet.runs.follow import PausedRunError, follow
from ratchet.runs.instances import load_instances
from ratchet.runs.own_stack import OwnStack
from ratchet.runs.request import Override, RunRequest, resolve_config
from ratchet.tasks import task_data
from shared.config.settings import RunConfig, StackParts, load_config
from shared.errors import SettingsError
from shared.ledger import pausing
from shared.ledger.history.folding import fold
from shared.ledger.history.state import RunHistory
from shared.messages.events import EvaluationRequested
from shared.messages.records import JsonObject, Release
from shared.store.store import get_json, put_json
from shared.store.trust import UNSIGNED, Trust, trust_of
from shared.tasks.draws import check_instances
from shared.tasks.task import Task, load_task

SEED_RELEASE = "seed"
_log = logging.getLogger(__name__)


def evaluate(
    task: str, release: str, instances: Path, overrides: Sequence[Override], root: Path
) -> dict[str, Any]:
    """The result as `--json` prints it. Raises SettingsError for an unknown run, generation or a bad file."""
    if release == SEED_RELEASE:
        config = resolve_config(task, None, overrides, None)
        source, chosen = None, None
        moved = parts.resolve(None, overrides)
    else:
        source, chosen = find_release(release, root)
        base = source.config().model_dump(mode="json")
        layers = [parts.without_section(layer) for layer in parts.layers(overrides)]
        config = load_config([base, *layers])
        moved = parts_beside(source)
    own = task_data.load_bound(task, config.run.task)
    folder, result = score(own, config, moved, chosen, instances, root, source)
    loaded = [row["instance"] for row in result["instances"]]
    found = task_data.baselines(load_task(folder.config().run.task), loaded)
    beside = compared(result["instances"], found)
    known = by_name(result.get("metrics", {}))
    return {**known, "task": task, "release": release, "run": folder.run_id, **result, **beside}


def score(
    own: Task,
    config: RunConfig,
    moved: StackParts,
    release: Release | None,
    instances: Path,
    root: Path,
    source: RunFolder | None = None,
) -> tuple[RunFolder, dict[str, Any]]:
    """The evaluation's own run, and what it measured. `moved`: where the release is stored (parts_beside);
    `source`: the run that made it."""
    checks.require_tools(own)
    config, notes = settle(config, own)
    for note in notes:
        typer.echo(note, err=True)
    checks.require_parts(moved)
    with _instances(own, instances, root) as (copy, loaded):
        check_instances(load_task(str(copy)) if copy else own, loaded)
        asked = RunRequest(config, label=f"eval-{own.name}", root=root, parts=moved)
        folder = runs.create(asked, copy)
    return folder, request(folder, folder.config(), release, loaded, source)


@contextmanager
def _instances(task: Task, path: Path, root: Path) -> Iterator[tuple[Path | None, list[JsonObject]]]:
    """The instances in `path`; where data.py reads them, with a copy of the task that knows them."""
    if task.program("data.py") is None:
        yield None, load_instances(path)
        return
    with task_data.examined(task, path, root) as (copy, loaded):
        yield copy, loaded


def parts_beside(source: RunFolder) -> StackParts:
    """On the store of the run that made the release; in its ledger too, where that is no file of its own. An
    endpoint's new address stands in the run's config already, where another one may replace it."""
    theirs = source.parts.model_copy(update={"moved_model_url": ""})
    own_file = theirs.ledger_url.startswith("sqlite:")
    return theirs.model_copy(update={"ledger_url": ""}) if own_file else theirs


def find_release(text: str, root: Path) -> tuple[RunFolder, Release]:
    """RUN's live release, or the one that was live after RUN:GENERATION."""
    name, _, number = text.partition(":")
    folder = runs.find(name, root)
    history = fold(folder.open_ledger().events(folder.run_id))
    release = after_generation(history, number) if number else history.release
    if release is None:
        raise SettingsError(f"run {name} has no release yet", "wait for its base model")
    return folder, release


def after_generation(history: RunHistory, text: str) -> Release | None:
    known = [generation.number for generation in history.generations]
    if not text.isdigit() or int(text) not in [0, *known]:
        raise SettingsError(
            f"no generation {text!r} in this run", f"0 is the first release; there are {known}"
        )
    live = history.first
    for generation in history.promotions:
        if generation.number <= int(text):
            live = generation.promoted
    return live


def signed_by(source: RunFolder, release: Release) -> Trust:
    """Who signed the adapter of that run's release."""
    log = source.open_ledger().events(source.run_id)
    return trust_of(source.run_id, (logged.event for logged in log)).of(release.adapter)


def request(
    folder: RunFolder,
    config: RunConfig,
    release: Release | None,
    instances: list[dict[str, Any]],
    source: RunFolder | None = None,
) -> dict[str, Any]:
    """Drive the evaluation's run to its end, from wherever it was interrupted; returns what it measured, and
    in words what it lost ("why")."""
    stack = OwnStack()
    stack.open_run(folder)
    ledger = folder.open_ledger()
    pausing.go_on(ledger, folder.run_id)
    objects = folder.open_store()
    by = signed_by(source, release) if source and release else UNSIGNED
    event = EvaluationRequested(
        run_id=folder.run_id,
        config=put_json(objects, config),
        release=release,
        instances=put_json(objects, instances),
        seed=config.run.seed,
        made_by=by.run_id,
        signer=by.signer,
    )
    with stack.attach(folder, event) as attached:
        follow(folder, attached, refresh=lambda: None, note=_log.warning)
    return result_of(folder)


def result_of(folder: RunFolder) -> dict[str, Any]:
    """What an evaluation's run measured. Raises PausedRunError where its endpoint refuses everything,
    SettingsError where it has failed."""
    ledger = folder.open_ledger()
    if why := pausing.paused_why(ledger, folder.run_id):
        raise PausedRunError(f"the evaluation can't go on: {why}", "then give the same command again")
    history = fold(ledger.events(folder.run_id))
    if history.test is None:
        raise SettingsError(f"the evaluation failed: {history.why}", f"logs are in {folder.logs}")
    found: dict[str, Any] = get_json(folder.open_store(), history.test)
    return found | {"why": history.why, "logs": folder.logs}

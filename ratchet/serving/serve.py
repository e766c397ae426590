"""`ratchet serve RUN[:GENERATION]`: starts what the release needs (a model server for a base of its own) and
answers over HTTP until it is interrupted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from ratchet.runs.evaluate import find_release
from ratchet.runs.folder import RunFolder
from ratchet.serving.answerer import Answerer
from ratchet.serving.batches import Batches
from ratchet.serving.feedback import Feedback
from ratchet.serving.instances import text_field
from ratchet.stack.model_servers import ModelServers
from ratchet.stack.served_model import NeededModel
from ratchet.stack.side_programs import take_port
from shared.config.settings import StackSettings
from shared.errors import RatchetError
from shared.ledger.history.folding import fold
from shared.messages.records import Release
from shared.model.served import look_up
from shared.store.store import materialize
from shared.tasks.draws import draw
from shared.tasks.task import load_task

FOLLOW_S = 1.0  # between two reads of the event log
KEEP_S = 0.5
LOAD_S = 600.0  # of a large model from a slow disk


class Live:
    """The release that is served now; with `follow`, the run's live one."""

    def __init__(self, folder: RunFolder, release: Release, follow: bool) -> None:
        self._folder = folder
        self._release = release
        self._read_at_s = time.monotonic()
        self._follow = follow

    def __call__(self) -> Release:
        if self._follow and time.monotonic() - self._read_at_s > FOLLOW_S:
            self._read_at_s = time.monotonic()
            events = self._folder.open_ledger().events(self._folder.run_id)
            self._release = fold(events).release or self._release
        return self._release


def serve(name: str, root: Path, host: str, port: int, follow: bool) -> None:
    """Until Ctrl-C. Raises SettingsError for an unknown run or generation, or a port that is taken."""
    import uvicorn

    from ratchet.serving.app import make_app

    folder, release = find_release(name, root)
    port = take_port(port, "--port", host)
    with serving(folder, release, follow, folder.path / "serving") as batches:
        app = make_app(batches, name, field_of(folder), Feedback(folder))
        typer.echo(f"{name} answers at http://{host}:{port}/v1   (Ctrl-C ends it)", err=True)
        uvicorn.run(app, host=host, port=port, log_level="warning")


@contextmanager
def serving(folder: RunFolder, release: Release, follow: bool, place: Path) -> Iterator[Batches]:
    """What answers under the release, with its model server where the run's base is its own. `place`: of the
    server's address and log; no two may share it."""
    place.mkdir(parents=True, exist_ok=True)
    settings = StackSettings(
        **folder.parts.model_dump(),
        queue_prefix=folder.queue_prefix,
        cache_dir=folder.path.parent / ".cache",
        models_dir=place / "models",
    )
    with _model_server(folder, release, settings, place):
        answerer = Answerer(folder, settings)
        batches = Batches(answerer, Live(folder, release, follow))
        try:
            yield batches
        finally:
            batches.close()
            answerer.close()


def field_of(folder: RunFolder) -> str | None:
    """The field of this task's instances that plain text goes into."""
    return text_field(draw(load_task(folder.config().run.task), "train", 1, 0)[0])


class _OneModel:
    """The base model of the served run, kept while it is served."""

    def __init__(self, base: str, model: NeededModel) -> None:
        self.runs: set[str] = set()
        self._needed = {base: model}

    def needed(self) -> tuple[dict[str, NeededModel], RatchetError | None]:
        return self._needed, None

    def fail(self, base: str, reason: str) -> None:
        typer.echo(f"the model of {base[:12]} can't be served: {reason}", err=True)


@contextmanager
def _model_server(
    folder: RunFolder, release: Release, settings: StackSettings, place: Path
) -> Iterator[None]:
    model = folder.config().model
    if model.url or release.base.startswith("endpoint:"):
        yield
        return
    bundle = materialize(folder.open_store(), release.base, settings.cache_dir / "bundles")
    assert settings.models_dir is not None
    needs = _OneModel(release.base, NeededModel(bundle, model.name))
    adapters = settings.cache_dir.resolve() / "adapters"
    servers = ModelServers(needs, settings.models_dir, place / "logs", adapters)
    ending = threading.Event()
    keeper = threading.Thread(target=_keep, args=(servers, ending), daemon=True)
    try:
        _wait_until_loaded(servers, settings.models_dir, release.base)
        keeper.start()
        yield
    finally:
        ending.set()
        if keeper.is_alive():
            keeper.join()
        servers.close()


def _wait_until_loaded(servers: ModelServers, folder: Path, base: str) -> None:
    """Until the server has loaded its model, so that the first request is answered. Raises RatchetError where
    it can't be kept alive."""
    import httpx

    end_s = time.monotonic() + LOAD_S
    while time.monotonic() < end_s:
        servers.keep_running()
        served = look_up(folder, base)
        if served is None:
            raise RatchetError(f"the model of {base[:12]} can't be served")
        with suppress(httpx.HTTPError), httpx.Client(trust_env=False, timeout=KEEP_S) as client:
            if client.get(f"{served.url.removesuffix('/v1')}/health").status_code == httpx.codes.OK:
                return
        time.sleep(KEEP_S / 5)
    raise RatchetError(f"the model of {base[:12]} was not loaded within {LOAD_S:.0f} s", "is memory left?")


def _keep(servers: ModelServers, ending: threading.Event) -> None:
    while not ending.wait(KEEP_S):
        servers.keep_running()

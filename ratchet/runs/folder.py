"""Run folders: where a run keeps all of its own (ledger, store, logs, report). Never overwritten.

runs/NAME/  config.json  ledger.sqlite  store/  logs/  broker/  report/  task/ (if it has its own data)
            parts.json (if its ledger, store or broker are not its own)
            in_stack (if it is in a standing stack, which keeps its ledger, store and logs)
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ratchet.runs import parts
from ratchet.runs.request import RunRequest
from ratchet.stack import state as stack_state
from shared.config import secrets
from shared.config.settings import RunConfig, StackParts, StackSettings
from shared.errors import SettingsError
from shared.ledger.ledger import Ledger
from shared.messages.records import JsonObject, digest_of
from shared.store.store import Store

DEFAULT_ROOT = Path("runs")
IN_STACK = "in_stack"
ORIGIN = "origin.json"  # the release of another run that this one starts from
_MARKS = ("ledger.sqlite", parts.FILE, IN_STACK)  # a folder that holds one of these is a run's


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @cached_property
    def stack(self) -> Path | None:
        """The standing stack that it is in; None: it starts a stack of its own."""
        file = self.path / IN_STACK
        return Path(file.read_text(encoding="utf-8").strip()) if file.exists() else None

    @cached_property
    def _stack_settings(self) -> StackSettings | None:
        return stack_state.settings_of(self.stack) if self.stack else None

    @property
    def parts(self) -> StackParts:
        """The ledger, store and broker that this run uses; empty: its own."""
        if settings := self._stack_settings:
            named = StackParts(**settings.model_dump(include=set(StackParts.model_fields)))
            own_broker = self.stack is not None and self.stack.is_dir()  # gone when the stack is down
            return named.model_copy(update={"broker_url": ""}) if own_broker else named
        found = parts.read(self.path)
        own = {
            "ledger_url": f"sqlite:///{self.path / 'ledger.sqlite'}",
            "store_url": str(self.path / "store"),
        }
        return found.model_copy(update={name: url for name, url in own.items() if not getattr(found, name)})

    @property
    def cache_dir(self) -> Path:
        """Where the services of its stack on this machine unpack and train."""
        return self._stack_settings.cache_dir if self._stack_settings else self.path.parent / ".cache"

    @property
    def ledger_url(self) -> str:
        return self.parts.ledger_url

    @property
    def store(self) -> Path:
        """The folder of a store of its own."""
        return self.path / "store"

    def move_parts(self, **urls: str | None) -> None:
        """From now on the run uses these; None: as before; empty: its own. Raises LedgerError if a new ledger
        does not know the run."""
        moved = {name: url for name, url in urls.items() if url is not None}
        if not moved:
            return
        chosen = parts.checked(parts.read(self.path).model_dump() | moved)
        if moved.get("ledger_url"):
            secrets.open_ledger(chosen).run_state(self.run_id)
        parts.write(self.path, chosen)

    def open_ledger(self) -> Ledger:
        return secrets.open_ledger(self.parts)

    def open_store(self) -> Store:
        return secrets.open_store(self.parts)

    @property
    def queue_prefix(self) -> str:
        """Of its doorbells, so that other users of the broker do not receive them. All runs in a standing
        stack share one."""
        if self._stack_settings:
            return self._stack_settings.queue_prefix
        return f"ratchet:{self.run_id}-{digest_of(self.parts.ledger_url)[:12]}:"

    @property
    def logs(self) -> str:
        """Where a reader finds the services' logs, in words."""
        if self.stack is None:
            return f"{self.path}/logs"
        return f"{self.stack}/logs" if self.stack.is_dir() else f"the stack that {self.stack} names"

    @property
    def report(self) -> Path:
        return self.path / "report"

    def config(self) -> RunConfig:
        """As the run was made, but for the address of an endpoint that has moved since."""
        text = (self.path / "config.json").read_text(encoding="utf-8")
        config = RunConfig.model_validate(json.loads(text))
        if not (config.model.url and self.parts.moved_model_url):
            return config
        moved = config.model.model_copy(update={"url": self.parts.moved_model_url})
        return config.model_copy(update={"model": moved})

    def origin(self) -> JsonObject:
        """Of a run that starts from a release of another, what RunStarted says of it; else nothing."""
        path = self.path / ORIGIN
        if not path.exists():
            return {}
        kept: JsonObject = json.loads(path.read_text(encoding="utf-8"))
        if "release" in kept:  # as older versions named it
            kept["start"] = kept.pop("release")
        return kept


def create(request: RunRequest, bound: Path | None = None) -> RunFolder:
    """A new run folder; without a name, LABEL-1, LABEL-2, ... Raises SettingsError if the name is taken: in
    the folder, or in a ledger that others use as well.

    `bound`: a task folder with data of its own, which becomes this run's (moved to RUN/task).
    """
    root, name, config = request.root.resolve(), request.name, request.config
    if not str(root).isprintable():  # half a surrogate pair, a line's end: URLs and settings hold this path
        raise SettingsError(f"not a folder for runs: {str(root)!a}", "its name must be text in UTF-8")
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise SettingsError(f"not a name for a run: {name!r}", "letters, digits, dot, dash and underscore")
    root.mkdir(parents=True, exist_ok=True)
    names = [name] if name else (f"{request.label}-{number}" for number in range(1, 100_000))
    for candidate in names:
        try:
            (root / candidate).mkdir(mode=0o700)  # prompts, replies, labels and passwords of the user's
        except FileExistsError:
            continue
        folder = RunFolder(root / candidate)
        if not _settle(folder, request.parts, request.stack):
            shutil.rmtree(folder.path)
            continue
        if request.origin is not None:
            release = request.origin.release.model_dump(mode="json")
            by, posted = request.origin.trust, request.origin.posted
            kept = {
                "origin": request.origin.name,
                "start": release,
                "posted": digest_of(list(posted)) if posted else "",
                "made_by": by.run_id,
                "signer": by.signer,
            }
            (folder.path / ORIGIN).write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
        if bound is not None:
            bound.rename(folder.path / "task")
            own = config.run.model_copy(update={"task": str(folder.path / "task")})
            config = config.model_copy(update={"run": own})
        (folder.path / "config.json").write_text(
            json.dumps(config.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8"
        )
        return folder
    raise SettingsError(
        f"the run {name!r} exists in {root} or in its ledger",
        "runs are never overwritten: choose another --name",
    )


def _settle(folder: RunFolder, chosen: StackParts, stack: Path | None) -> bool:
    """Keep where its parts are; False: its ledger knows a run of that name already."""
    if stack is not None:
        (folder.path / IN_STACK).write_text(f"{stack.resolve()}\n", encoding="utf-8")
    elif chosen != StackParts():
        parts.write(folder.path, chosen)
    shared = stack is not None or chosen.ledger_url
    return not shared or folder.open_ledger().create_run(folder.run_id, folder.queue_prefix)


def find(name: str, root: Path = DEFAULT_ROOT) -> RunFolder:
    """The run of that name, or in that folder. Raises SettingsError that lists what there is."""
    for path in (Path(name), root / name):
        if any((path / file).exists() for file in _MARKS):
            return RunFolder(path.resolve())
    there = ", ".join(names(root)) or "none yet"
    raise SettingsError(f"no run {name!r} in {root}", f"runs there: {there}")


def names(root: Path) -> list[str]:
    """The runs under `root`, in alphabetical order."""
    return sorted({path.parent.name for mark in _MARKS for path in root.glob(f"*/{mark}")})


@contextmanager
def sole_driver(folder: RunFolder) -> Iterator[None]:
    """Holds the lock of the one process that drives the run; the kernel releases it at its end."""
    with (folder.path / "driver.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"another process drives the run {folder.run_id}", "follow it with `ratchet watch`"
            ) from None
        yield

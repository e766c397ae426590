"""Run folders: where a run keeps all of its own (ledger, store, logs, report). Never overwritten.

runs/NAME/  config.json  ledger.sqlite  store/  logs/  broker/  report/  task/ (if it has its own data)
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.errors import SettingsError
from shared.settings import RunConfig

DEFAULT_ROOT = Path("runs")


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.path / 'ledger.sqlite'}"

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def report(self) -> Path:
        return self.path / "report"

    def config(self) -> RunConfig:
        return RunConfig.model_validate(json.loads((self.path / "config.json").read_text()))


def create(root: Path, name: str, task: str, config: RunConfig, bound: Path | None = None) -> RunFolder:
    """A new run folder; without a name, TASK-1, TASK-2, ... Raises SettingsError if the name is taken.

    `bound`: a task folder with data of its own, which becomes this run's (moved to RUN/task).
    """
    root = root.resolve()
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise SettingsError(f"not a name for a run: {name!r}", "letters, digits, dot, dash and underscore")
    root.mkdir(parents=True, exist_ok=True)
    names = [name] if name else (f"{task}-{number}" for number in range(1, 100_000))
    for candidate in names:
        try:
            (root / candidate).mkdir()
        except FileExistsError:
            continue
        folder = RunFolder(root / candidate)
        if bound is not None:
            bound.rename(folder.path / "task")
            own = config.run.model_copy(update={"task": str(folder.path / "task")})
            config = config.model_copy(update={"run": own})
        (folder.path / "config.json").write_text(json.dumps(config.model_dump(mode="json"), indent=2) + "\n")
        return folder
    raise SettingsError(
        f"the run {name!r} exists in {root}", "runs are never overwritten: choose another --name"
    )


def find(name: str, root: Path = DEFAULT_ROOT) -> RunFolder:
    """The run of that name, or in that folder. Raises SettingsError that lists what there is."""
    for path in (Path(name), root / name):
        if (path / "ledger.sqlite").exists():
            return RunFolder(path.resolve())
    there = ", ".join(sorted(path.parent.name for path in root.glob("*/ledger.sqlite"))) or "none yet"
    raise SettingsError(f"no run {name!r} in {root}", f"runs there: {there}")


@contextmanager
def sole_driver(folder: RunFolder) -> Iterator[None]:
    """Nobody else drives the run inside. The kernel gives the lock back, however this process ends."""
    with (folder.path / "driver.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"another process drives the run {folder.run_id}", "follow it with `ratchet watch`"
            ) from None
        yield

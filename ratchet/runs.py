"""Run folders: where a run keeps all of its own (ledger, store, logs, report). Never overwritten.

runs/NAME/  config.json  ledger.sqlite  store/  logs/  broker/  report/
A run in a stack that stays up keeps its ledger and store there; its folder says where that is, in `in_stack`.
"""

from __future__ import annotations

import fcntl
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ratchet import stacks
from shared.errors import SettingsError
from shared.settings import RunConfig, StackSettings

DEFAULT_ROOT = Path("runs")
IN_STACK = "in_stack"


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @cached_property
    def stack(self) -> Path | None:
        """The stack that the run is in; None: each start of the run starts one of its own."""
        file = self.path / IN_STACK
        return Path(file.read_text().strip()) if file.exists() else None

    @cached_property
    def _parts(self) -> StackSettings | None:
        return stacks.settings_of(self.stack) if self.stack else None

    @property
    def ledger_url(self) -> str:
        return self._parts.ledger_url if self._parts else f"sqlite:///{self.path / 'ledger.sqlite'}"

    @property
    def store_url(self) -> str:
        return self._parts.store_url if self._parts else str(self.path / "store")

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
        return RunConfig.model_validate(json.loads((self.path / "config.json").read_text()))


def create(
    root: Path,
    name: str,
    task: str,
    config: RunConfig,
    stack: Path | None = None,
    claim: Callable[[str], bool] = lambda name: True,
) -> RunFolder:
    """A new run folder; without a name, TASK-1, TASK-2, ... `claim` takes the name in the stack as well.
    Raises SettingsError if the name is taken."""
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
        (folder.path / "config.json").write_text(json.dumps(config.model_dump(mode="json"), indent=2) + "\n")
        if stack is not None:
            (folder.path / IN_STACK).write_text(f"{stack.resolve()}\n")
        if claim(candidate):
            return folder
        for file in folder.path.iterdir():
            file.unlink()
        folder.path.rmdir()
    where = f"in {root} or in the stack" if stack else f"in {root}"
    raise SettingsError(
        f"the run {name!r} exists {where}", "runs are never overwritten: choose another --name"
    )


def find(name: str, root: Path = DEFAULT_ROOT) -> RunFolder:
    """The run of that name, or in that folder. Raises SettingsError that lists what there is."""
    for path in (Path(name), root / name):
        if _is_run(path):
            return RunFolder(path.resolve())
    there = ", ".join(sorted(path.name for path in root.glob("*") if _is_run(path))) or "none yet"
    raise SettingsError(f"no run {name!r} in {root}", f"runs there: {there}")


def _is_run(path: Path) -> bool:
    return (path / "ledger.sqlite").exists() or (path / IN_STACK).exists()


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

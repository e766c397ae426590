"""The state of a standing stack: where its parts are, whether it is up, what its supervisor reports.

A stack is a folder of `ratchet up`, or a TOML file with the keys of StackSettings that names a remote one.
STACK/  stack.json  ledger.sqlite  store/  cache/  models/  broker/  logs/  supervisor.json  supervisor.lock
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from shared.config.settings import StackSettings, read_toml
from shared.errors import SettingsError

SETTINGS = "stack.json"  # written by the stack; holds the broker's password, so 0600
STATE = "supervisor.json"
LOCK = "supervisor.lock"
GLANCE_S = 1.0  # is_up holds the lock for a moment; a supervisor for its whole life


class ProgramState(BaseModel):
    """`created_at` distinguishes a process from a later one with the same pid."""

    name: str
    pid: int | None  # None: between death and restart
    created_at: float
    deaths: int
    log: str


class StackState(BaseModel):
    """What the supervisor wrote last. `problem`: what it can't keep alive or could not start."""

    phase: Literal["starting", "up", "stopping", "failed"]
    pid: int
    created_at: float
    started_at: float
    problem: str = ""
    hint: str = ""
    flower_url: str = ""
    metrics_url: str = ""
    programs: list[ProgramState] = []


def settings_of(place: Path) -> StackSettings:
    """Where a stack's parts are. Raises SettingsError if it is no stack."""
    if place.is_dir():
        if not (place / SETTINGS).exists():
            raise SettingsError(f"no stack in {place}", f"`ratchet up {place}` starts one")
        place = place / SETTINGS
    if not place.exists():
        raise SettingsError(f"no stack in {place}", "give a folder of `ratchet up`, or a TOML file")
    if place.suffix == ".json":
        return checked(place, lambda: StackSettings.model_validate_json(place.read_bytes()))
    whole = {"cache_dir": place.parent} | read_table(place)  # it is the workers' alone
    return checked(place, lambda: StackSettings.model_validate(whole))


def read_table(file: Path) -> dict[str, Any]:
    """A TOML file's keys: of its section [stack], as in a run's config, or all. Raises SettingsError."""
    found = read_toml(file)
    table = found.get("stack", found)
    return table if isinstance(table, dict) else found


def checked(place: Path, validate: Callable[[], StackSettings]) -> StackSettings:
    try:
        return validate()
    except ValidationError as error:
        lines = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        keys = ", ".join(StackSettings.model_fields)
        raise SettingsError(f"{place} does not describe a stack: {lines}", f"its keys are {keys}") from None


def is_stack(folder: Path) -> bool:
    """Whether this is the folder of a standing stack; the folder of a run is not."""
    return (folder / LOCK).exists()


def is_up(folder: Path) -> bool:
    """Whether a supervisor holds its lock; the kernel released it if the last one was killed."""
    try:
        with (folder / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


@contextmanager
def sole_supervisor(folder: Path) -> Iterator[None]:
    """Raises SettingsError where there is one already."""
    with (folder / LOCK).open("a") as file:
        end_s = time.monotonic() + GLANCE_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end_s:
                    raise SettingsError(f"the stack in {folder} is up already") from None
                time.sleep(0.02)
        yield


def read_state(folder: Path) -> StackState | None:
    try:
        return StackState.model_validate_json((folder / STATE).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_state(folder: Path, state: StackState) -> None:
    temporary = folder / f".{STATE}.tmp"
    temporary.write_text(state.model_dump_json(indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, folder / STATE)


def require_up(place: Path) -> StackSettings:
    """The settings of a stack that can take a run now. Raises SettingsError."""
    settings = settings_of(place)
    if place.is_dir() and not is_up(place):
        raise SettingsError(f"the stack in {place} is not up", f"`ratchet up {place}` starts it")
    return settings

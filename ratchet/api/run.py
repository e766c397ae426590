"""A run as a Python object: started, followed, read. `ratchet run` and its sisters call the same methods.

It decides nothing: the loop is the services', and every number is read from the run's event log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ratchet.api.progress import Bar, Silent
from ratchet.reports.show import show_run
from ratchet.runs import folder as runs
from ratchet.runs import start
from ratchet.runs.folder import DEFAULT_ROOT, RunFolder
from ratchet.runs.follow import Stack
from ratchet.runs.request import Override, RunRequest, make_request
from shared.config.settings import RunConfig
from shared.errors import RatchetError
from shared.messages.events import RunFinished, StopRequested

if TYPE_CHECKING:
    import pandas as pd

    from ratchet.api.own_task import Task
    from ratchet.api.release import ReleaseHandle


class Progress(Protocol):
    """Shows a run while it is followed: `refresh` about twice a second, `note` once for what it waits for."""

    def refresh(self) -> None: ...

    def note(self, text: str) -> None: ...


@dataclass(frozen=True)
class Run:
    """One run: its folder, and what can be read from it at any time, while it runs too."""

    folder: RunFolder

    @classmethod
    def create(cls, request: RunRequest) -> tuple[Run, Stack]:
        """Check what can be checked, then make the run's folder; and the stack that will do its work. Raises
        RatchetError, and then nothing was begun."""
        place = start.stack_for(request)
        return cls(start.create(request, place)), place

    @property
    def name(self) -> str:
        return self.folder.run_id

    @property
    def config(self) -> RunConfig:
        return self.folder.config()

    @property
    def state(self) -> str:
        """running, paused, done, stopped or failed."""
        return str(self.show()["state"])

    def show(self) -> dict[str, Any]:
        """All that `ratchet show --json` prints: proposals, arms, decisions, costs, the sealed test."""
        return show_run(self.folder)

    @property
    def generations(self) -> pd.DataFrame:
        """A row a generation: arms with their intervals, the decision and its evidence, what it cost. Raises
        ToolMissingError without pandas (extra `notebook`)."""
        from ratchet.api.frames import generations_frame

        return generations_frame(self.show())

    @property
    def test(self) -> dict[str, Any] | None:
        """The sealed test: intervals of the first and the last release, and of their paired difference
        ("gain"). None until the run has ended."""
        found: dict[str, Any] | None = self.show()["final"]["test"]
        return found

    def release(self, generation: int | None = None) -> ReleaseHandle:
        """What was live after that generation; 0: the first release; None: what is live now. Raises
        SettingsError where there is none."""
        from ratchet.api.release import ReleaseHandle
        from ratchet.runs.evaluate import find_release

        name = str(self.folder.path)
        _, release = find_release(name if generation is None else f"{name}:{generation}", DEFAULT_ROOT)
        return ReleaseHandle(self.folder, release, generation)

    def submit(self, place: Stack) -> None:
        """Have a standing stack work on it, without following it."""
        start.submit(self.folder, place)

    def drive(self, place: Stack, progress: Progress) -> None:
        """Work on the run until its end, from whatever state it is in."""
        start.drive(self.folder, place, progress.refresh, progress.note)

    def resume(self, *, progress: bool = True) -> Run:
        """Continue an interrupted or paused run to its end; nothing is done twice. Raises RatchetError where
        it fails, with a hint."""
        with _bar(self.folder, progress) as bar:
            self.drive(start.stack_of(self.folder), bar)
        self.require_success()
        return self

    def stop(self) -> None:
        """Have it end after the present generation, with its sealed test."""
        ledger = self.folder.open_ledger()
        ends = sum(isinstance(logged.event, RunFinished) for logged in ledger.events(self.name))
        ledger.submit([StopRequested(run_id=self.name, number=ends)])

    def report(self) -> Path:
        """(Re)write its report; returns the page's path."""
        from ratchet.reports import report

        return report.write(self.folder)

    def require_success(self) -> None:
        """Raises RatchetError with the reason where the run failed."""
        shown = self.show()
        if shown["state"] == "failed":
            raise RatchetError(
                f"run {self.name} failed: {shown.get('why', '')}", f"logs are in {self.folder.logs}"
            )

    def _repr_html_(self) -> str:
        from ratchet.api.frames import generations_frame

        shown = self.show()
        table = generations_frame(shown).to_html(float_format="{:.3f}".format, na_rep="-")
        return f"<p><strong>{self.name}</strong>: {shown['task']}, {shown['state']}</p>{table}"


def run(
    task: str | Path | Task,
    *,
    model: str | Mapping[str, Any] | None = None,
    budget: int | Mapping[str, float] | None = None,
    levers: str | None = None,
    settings: Mapping[str, Any] | None = None,
    config: Path | str | None = None,
    name: str = "",
    root: Path | str = DEFAULT_ROOT,
    data: Path | str | None = None,
    stack: Path | str | None = None,
    progress: bool = True,
) -> Run:
    """Improve the agent on a task until it converges; returns the finished run.

    task: a folder, the name of one of Ratchet's own, or a Task.
    model: an endpoint's URL, or a base model ("seed", "smollm2", a folder); or the keys of [model].
    budget: candidate evaluations at most; or the keys of [budget], as {"usd": 5, "wall_s": 3600}.
    levers: "both", "harness" or "weights".
    settings: any keys of a run's config, nested or dotted: {"gate.alpha": 0.01}. config: a TOML file below
    them. root: the folder of runs; data: what the task's data.py imports; stack: a standing stack.

    Raises RatchetError where something can't be used or the run fails; its `hint` says what to do.
    """
    request = make_request(
        str(task) if isinstance(task, str | Path) else str(task.folder),
        file=Path(config) if config else None,
        overrides=overrides_of(model, budget, settings),
        levers=levers,
        name=name,
        root=Path(root),
        data=Path(data) if data else None,
        stack=Path(stack) if stack else None,
    )
    created, place = Run.create(request)
    with _bar(created.folder, progress) as bar:
        created.drive(place, bar)
    created.require_success()
    return created


def open_run(name: str, root: Path | str = DEFAULT_ROOT) -> Run:
    """The run of that name under `root`, or in that folder. Raises SettingsError that lists what there is."""
    return Run(runs.find(name, Path(root)))


def list_runs(root: Path | str = DEFAULT_ROOT) -> list[Run]:
    """The runs under `root`, by name."""
    return [open_run(name, root) for name in runs.names(Path(root))]


def overrides_of(
    model: str | Mapping[str, Any] | None,
    budget: int | Mapping[str, float] | None,
    settings: Mapping[str, Any] | None,
) -> list[Override]:
    """The sections of a config that the arguments mean; settings win."""
    found: list[Override] = []
    if isinstance(model, str):
        model = {"url" if "://" in model else "base": model}
    if isinstance(budget, int):
        budget = {"evaluations": budget}
    found += [{"model": dict(model)}] if model else []
    found += [{"budget": dict(budget)}] if budget else []
    return found + [_nested(name.split("."), value) for name, value in (settings or {}).items()]


def _nested(path: list[str], value: Any) -> dict[str, Any]:
    return {path[0]: _nested(path[1:], value) if path[1:] else value}


def _bar(folder: RunFolder, shown: bool) -> Bar | Silent:
    return Bar(folder) if shown else Silent()

"""The live view of a run: a sentence for each event, and on a terminal the four arms as their scores arrive.

It only reads the ledger, so any number of people may watch from anywhere.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ratchet.cli.console import make_console
from ratchet.reports.formats import interval_text
from ratchet.reports.narrate import narrate
from ratchet.reports.show import show_json
from ratchet.reports.training import progress_line
from ratchet.runs.folder import RunFolder
from shared.ledger.history.folding import fold
from shared.ledger.ledger import LoggedEvent
from shared.ledger.pausing import Trouble, troubles
from shared.store.remembered import Remembered
from shared.store.store import Store

MOST_TROUBLES = 3
SHOWN_AFTER_S = 10.0  # a server that starts is no trouble yet
PROGRESS_S = 60.0
RECENT = 12  # sentences that stay in sight


def trouble_text(trouble: Trouble) -> str:
    return (
        f"{trouble.service} has retried for {trouble.since_s:.0f} s, "
        f"next in {trouble.again_in_s:.0f} s: {trouble.reason}"
    )


class View:
    """Context manager around the watching of one run. `refresh` shows what is new."""

    def __init__(self, folder: RunFolder, live: bool) -> None:
        self.folder = folder
        self.ledger = folder.open_ledger()
        self.console = make_console()
        self.quiet = not live
        self.live = (
            Live(console=self.console, refresh_per_second=2) if live and self.console.is_terminal else None
        )
        self.log: list[LoggedEvent] = []
        self.store: Store = Remembered(folder.open_store())
        self.shown: dict[str, Any] = {}  # as `ratchet show --json`
        self.shown_events = -1  # of the log, that are in it
        self.printed_at_s = time.monotonic()  # when progress was printed last
        self.printed: set[str] = set()  # reasons of retries that were printed

    def __enter__(self) -> View:
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self.live:
            self.live.stop()

    def refresh(self) -> None:
        """Read the events since the last call; print them, or redraw."""
        fresh = self.ledger.events(self.folder.run_id, after=self.log[-1].seq if self.log else 0)
        self.log += fresh
        if self.live:
            self.live.update(self.picture())
        elif not self.quiet:
            for logged in fresh:
                if sentence := narrate(logged.event):
                    self.console.print(f"{self.clock(logged)} {sentence}", markup=False)
            self._print_troubles()
            self._print_progress()

    def _troubles(self) -> list[Trouble]:
        found = troubles(self.ledger, self.folder.run_id)
        return [trouble for trouble in found if trouble.since_s >= SHOWN_AFTER_S]

    def _print_troubles(self) -> None:
        """Once for each reason: what fails and is retried."""
        for trouble in self._troubles():
            if trouble.reason not in self.printed:
                self.printed.add(trouble.reason)
                self.console.print(f"       {trouble_text(trouble)}", markup=False)

    def _print_progress(self) -> None:
        """Once a minute: how far a long training is."""
        line = progress_line(self.folder.cache_dir, self.log)
        if line and time.monotonic() - self.printed_at_s >= PROGRESS_S:
            self.printed_at_s = time.monotonic()
            self.console.print(f"       {line}", markup=False)

    def note(self, text: str) -> None:
        """A note that is no event. Never on stdout where JSON goes there."""
        console = make_console(stderr=True) if self.quiet else self.console
        console.print(text, markup=False)

    def picture(self) -> Group:
        if len(self.log) > self.shown_events:  # only events change it
            self.shown, self.shown_events = show_json(fold(self.log), self.store), len(self.log)
        shown = self.shown
        table = Table(title=f"{self.folder.run_id}: {shown['state']}", title_justify="left", expand=True)
        for column in ("gen", "base", "harness", "weights", "both", "decision"):
            table.add_column(column)
        for row in shown["generations"]:
            arms = [interval_text(row["arms"][arm]) for arm in ("base", "harness", "weights", "both")]
            table.add_row(str(row["generation"]), *arms, row["gate"]["decision"] or "...")
        lines = [f"{self.clock(logged)} {text}" for logged in self.log if (text := narrate(logged.event))]
        retried = [trouble_text(trouble) for trouble in self._troubles()]
        training = progress_line(self.folder.cache_dir, self.log)
        lines_below = [self.jobs_line(), training, *sorted(set(retried))[:MOST_TROUBLES]]
        below = "\n".join(line for line in lines_below if line)
        return Group(table, Text("\n".join(lines[-RECENT:])), Text(below, style="dim"))

    def jobs_line(self) -> str:
        counts = self.ledger.jobs(self.folder.run_id)
        waiting = [
            f"{service} {state} {n}" for (service, state), n in sorted(counts.items()) if state != "done"
        ]
        return f"jobs: {', '.join(waiting) or 'none open'}"

    def clock(self, logged: LoggedEvent) -> str:
        """Minutes and seconds since the run's first event."""
        seconds = int(logged.at - self.log[0].at)
        return f"{seconds // 60:3d}:{seconds % 60:02d}"

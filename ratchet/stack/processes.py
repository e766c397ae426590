"""Child programs that are kept alive: start, restart with back-off, give up on one that dies at once, stop.

They die with this process (the thread that starts them must be its main one). Logs go to files.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shared.children import die_with_parent
from shared.errors import RatchetError

QUICK_S = 30.0  # one that dies sooner than this after its start died quickly
MOST_QUICK_DEATHS = 6  # in a row
LONGEST_BACK_OFF_S = 60.0  # of one that is not vital
TERM_S = 8.0  # between SIGTERM and SIGKILL
_log = logging.getLogger(__name__)


@dataclass
class Program:
    """One program that should run all the time."""

    name: str
    argv: Sequence[str]
    log: Path
    vital: bool = True  # False: the others run without it
    process: subprocess.Popen[bytes] | None = None
    deaths: int = 0  # since the start
    quick_deaths: int = field(default=0, repr=False)
    started_s: float = field(default=0.0, repr=False)
    start_after_s: float = field(default=0.0, repr=False)

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
                start_new_session=True,  # Ctrl-C reaches us alone; we stop them in order
            )
        self.started_s = time.monotonic()

    def keep_running(self) -> bool:
        """Restart it if it died; True if it was (re)started. Raises RatchetError when it keeps dying."""
        if self.process is None:
            if time.monotonic() < self.start_after_s:
                return False
            self.start()
            return True
        if self.process.poll() is None:
            return False
        self._record_exit(self.process.returncode)
        return False

    def _record_exit(self, code: int) -> None:
        quick = time.monotonic() - self.started_s < QUICK_S
        self.quick_deaths = self.quick_deaths + 1 if quick else 0
        self.deaths += 1
        self.process = None
        _log.warning("%s ended with %d; see %s", self.name, code, self.log)
        self.start_after_s = time.monotonic() + self._back_off_s()
        if self.vital and self.quick_deaths >= MOST_QUICK_DEATHS:
            raise RatchetError(
                f"{self.name} died {self.quick_deaths} times in a row ({code}): {self.last_line()}",
                f"see {self.log}",
            )

    def last_line(self) -> str:
        """The last line of its log: usually the reason of its exit."""
        lines = (
            self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            if self.log.exists()
            else []
        )
        return lines[-1][:300] if lines else "it wrote nothing"

    def _back_off_s(self) -> float:
        return min(LONGEST_BACK_OFF_S, 2.0 ** (self.quick_deaths - 2)) if self.quick_deaths else 0.0


def stop_all(programs: Sequence[Program], patience_s: float = TERM_S) -> None:
    """SIGTERM to all: they end what they have begun. Then SIGKILL to the groups of those that stay."""
    running = [program.process for program in programs if program.process and program.process.poll() is None]
    for process in running:
        process.send_signal(signal.SIGTERM)
    end_s = time.monotonic() + patience_s
    for process in running:
        try:
            process.wait(max(0.0, end_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

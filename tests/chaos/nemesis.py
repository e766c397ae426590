"""A `ratchet` process that drives a real run, and a nemesis that waits for an event of the run and then
kills a part of it with -9. Judges nothing: checker.py does.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from ratchet.runs.folder import RunFolder
from shared.ledger.ledger import Ledger
from shared.messages.events import Message

RATCHET = str(Path(sys.executable).with_name("ratchet"))
LIMIT_S = 240.0  # for each point that is waited for; a busy machine is slow to start processes
POLL_S = 0.02


class Driven:
    """`ratchet ARGUMENTS` in that folder, and all that it starts."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._output = folder / "output.txt"
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [RATCHET, *arguments],
                cwd=folder,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                # a shell's background job ignores Ctrl-C, and would hand that on
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )

    def output(self) -> str:
        return self._output.read_text()[-3000:]

    def family(self) -> list[psutil.Process]:
        try:
            me = psutil.Process(self.process.pid)
            return [me, *me.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def find(self, word: str, child: bool) -> psutil.Process | None:
        """The program with this word in its command line; `child`: the one that it forked for its jobs."""
        for one in self.family():
            try:
                line, parent = one.cmdline(), one.parent()
                forked = parent is not None and parent.cmdline() == line
            except psutil.NoSuchProcess:
                continue
            if any(word in part for part in line) and forked == child:
                return one
        return None

    def until(self, true: Callable[[], object]) -> None:
        end_s = time.monotonic() + LIMIT_S
        while not true():
            assert self.process.poll() is None, self.output()
            assert time.monotonic() < end_s, self.output()
            time.sleep(POLL_S)

    def end(self) -> int:
        return self.process.wait(LIMIT_S)


class Nemesis:
    """Of one run."""

    def __init__(self, driven: Driven, folder: RunFolder) -> None:
        self.driven = driven
        self._folder = folder
        self._ledger = Ledger(folder.ledger_url)

    def after(self, kind: type[Message], times: int = 1) -> None:
        self.driven.until((self._folder.path / "stack.json").exists)  # the ledger is there before it
        self.driven.until(lambda: self._count(kind) >= times)

    def kill(self, word: str, child: bool = False) -> None:
        self.driven.until(lambda: self.driven.find(word, child))
        found = self.driven.find(word, child)
        assert found is not None, f"{word} ended by itself"
        found.kill()

    def _count(self, kind: type[Message]) -> int:
        return sum(isinstance(logged.event, kind) for logged in self._ledger.events(self._folder.run_id))


def gone(processes: Sequence[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=10)[1]

"""SIGTERM ends a run as Ctrl-C does: in order, with a hint how to resume it."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ratchet.runs import folder as runs
from ratchet.runs import start
from ratchet.runs.folder import RunFolder
from ratchet.runs.follow import Attached
from ratchet.runs.own_stack import InterruptedRunError, OwnStack
from ratchet.runs.request import RunRequest, resolve_config
from shared.messages.events import Message


class Signalled(OwnStack):
    """A stack in whose first moment of work a signal arrives. `ended`: it was left in order."""

    patience_s = 0.0
    number = signal.SIGTERM
    ended = False

    @contextmanager
    def attach(self, folder: RunFolder, first: Message | None) -> Iterator[Attached]:
        try:
            yield self
        finally:
            object.__setattr__(self, "ended", True)

    def tick(self) -> None:
        os.kill(os.getpid(), self.number)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return runs.create(RunRequest(resolve_config("trimul", None, [], None), "trimul", tmp_path, "mine"))


def drive(folder: RunFolder, stack: OwnStack) -> None:
    start.drive(folder, stack, refresh=lambda: None, note=lambda text: None)


def test_sigterm_ends_the_stack_in_order_and_says_how_to_resume(folder: RunFolder) -> None:
    before, stack = signal.getsignal(signal.SIGTERM), Signalled()
    with pytest.raises(InterruptedRunError) as caught:
        drive(folder, stack)
    assert stack.ended
    assert "ratchet resume" in caught.value.hint
    assert signal.getsignal(signal.SIGTERM) == before  # afterwards it means what it meant


def test_a_run_that_is_driven_from_another_thread_leaves_signals_alone(folder: RunFolder) -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    class Quiet(Signalled):
        def tick(self) -> None:
            seen.append(signal.getsignal(signal.SIGTERM))
            raise KeyboardInterrupt

    def work() -> None:
        with pytest.raises(InterruptedRunError):
            drive(folder, Quiet())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]

"""Quiet excludes busy and quiet; busy goes with busy; the dead hold nothing."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from shared.box.machine_lock import busy, quiet

Lock = Callable[[Path], AbstractContextManager[None]]
context = multiprocessing.get_context("fork")


def hold(lock: Lock, folder: Path, has: Event, let_go: Event) -> None:
    with lock(folder):
        has.set()
        let_go.wait(20)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [(busy, busy, True), (busy, quiet, False), (quiet, busy, False), (quiet, quiet, False)],
)
def test_who_may_hold_the_machine_together(first: Lock, second: Lock, together: bool, tmp_path: Path) -> None:
    has = [context.Event(), context.Event()]
    let_go = context.Event()
    holders = [
        context.Process(target=hold, args=(lock, tmp_path, has[i], let_go))
        for i, lock in enumerate((first, second))
    ]
    holders[0].start()
    assert has[0].wait(10)
    holders[1].start()
    assert has[1].wait(0.3) is together
    let_go.set()
    assert has[1].wait(10)  # whoever waited gets it in the end
    for holder in holders:
        holder.join(10)


def test_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    has = context.Event()
    holder = context.Process(target=hold, args=(quiet, tmp_path, has, context.Event()))
    holder.start()
    assert has.wait(10)
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join(10)
    with quiet(tmp_path):
        pass

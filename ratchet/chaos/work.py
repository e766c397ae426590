"""Chains of small jobs on the real ledger, queue and workers, to measure them and to break them. A job is one
link of a chain: it notes that it ran, waits, and emits an effect and the next link.

As a program: a worker of the agent's queue; --stack FILE. Its folder is the stack's cache_dir.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from shared.bus.bus import Handlers
from shared.bus.celery_app import run_worker
from shared.config.settings import StackSettings
from shared.ledger.ledger import LoggedEvent
from shared.messages import events as e
from shared.messages.records import Release

_NONE = Release(base="endpoint:none", harness="none")


@dataclass(frozen=True)
class Work:
    """Travels as the messages' `config`. `links`: jobs of a chain; `work_s`: what each takes; `effects`: each
    also emits an event that differs from execution to execution, so that two would be seen; `notes`: each
    execution leaves a line; `deadly`: the first link kills its worker; `leak_kb`: what each job leaves in
    memory and on disk, beside an open file."""

    links: int
    work_s: float = 0.0
    effects: bool = True
    notes: bool = True
    deadly: bool = False
    leak_kb: int = 0

    def text(self) -> str:
        return json.dumps(asdict(self))


class Ran(NamedTuple):
    """One execution of a link. `at`: seconds since 1970."""

    run_id: str
    chain: str
    link: int
    at: float


def first_link(run_id: str, chain: str, work: Work) -> e.Message:
    return e.ShardOpened(run_id=run_id, config=work.text(), purpose="train", plan=chain)


def handlers(folder: Path) -> Handlers:
    folder.mkdir(parents=True, exist_ok=True)
    return {
        e.ShardOpened: partial(_do_link, folder=folder),
        e.CandidatesScored: partial(_do_link, folder=folder),
    }


def _do_link(event: e.ShardOpened | e.CandidatesScored, *, folder: Path) -> list[e.Message]:
    work, (chain, link) = Work(**json.loads(event.config)), place(event)
    if work.notes:
        line = f"{event.run_id} {chain} {link} {time.time():.6f}\n"
        os.write(_notes(folder, os.getpid()), line.encode())
    if work.leak_kb:
        _leak(folder / f"leak-{chain}-{link}", work.leak_kb)
    if link == 0 and work.deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    if work.work_s:
        time.sleep(work.work_s)
    emitted: list[e.Message] = []
    if work.effects:
        why = f"{chain} {link} {uuid.uuid4().hex}"
        emitted.append(e.ReleaseRejected(run_id=event.run_id, release=_NONE, evidence=None, why=why))
    if link + 1 < work.links:
        about = {"run_id": event.run_id, "config": event.config, "purpose": "train", "check": "final"}
        emitted.append(e.CandidatesScored(**about, turn=link + 1, state=chain, batch="", scores=""))
    return emitted


@functools.cache
def _notes(folder: Path, pid: int) -> int:
    """A descriptor that stays open as long as the process."""
    return os.open(folder / f"ran-{pid}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


_leaked: list[Any] = []


def _leak(path: Path, kilobytes: int) -> None:
    content = os.urandom(1000 * kilobytes)
    path.write_bytes(content)
    _leaked.extend([content, path.open("rb")])


def place(event: e.Message) -> tuple[str, int]:
    """The chain and the link of a job's message."""
    if isinstance(event, e.CandidatesScored):
        return event.state, event.turn
    assert isinstance(event, e.ShardOpened)
    return event.plan, 0


def effects_in(log: Iterable[LoggedEvent]) -> Counter[tuple[str, int]]:
    """How often each link's effect is in the log."""
    found = (logged.event.why.split() for logged in log if isinstance(logged.event, e.ReleaseRejected))
    return Counter((chain, int(link)) for chain, link, _ in found)


def executions(folder: Path) -> Iterator[Ran]:
    """Every execution, whether it counted or not."""
    for path in sorted(folder.glob("ran-*")):
        for line in path.read_text(encoding="utf-8").splitlines():
            run_id, chain, link, at = line.split()
            yield Ran(run_id, chain, int(link), float(at))


def workers(count: int) -> dict[str, Sequence[str]]:
    """Programs of a LocalStack, each a worker of its own."""
    return {f"worker{number}": ["-m", "ratchet.chaos.work"] for number in range(count)}


def build(stack: StackSettings) -> Handlers:
    return handlers(stack.cache_dir)


if __name__ == "__main__":
    run_worker("agent", build)

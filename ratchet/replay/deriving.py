"""Derives every decision of a run again from its ledger and its store, with no model and no sandbox, and
compares event by event with what is stored.

Feedback alone decides, and its handlers read nothing but the log and the store. So each of its jobs that are
done is handled again, on the log as it was then: up to its event at least, and without its own answer. What
others logged in between it may have seen or not; one of these views has to give what is stored.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from feedback_service.worker import derive_from
from ratchet.replay.differing import Difference, first_difference
from ratchet.replay.scratch import ScratchStore
from shared.config.settings import AdvisorSection
from shared.errors import RatchetError
from shared.ledger.ledger import LoggedEvent
from shared.messages.events import BaseFailed, JobDied, Message, ProposalsJoined, RolloutsJoined, RunFinished
from shared.messages.records import digest_of
from shared.messages.routes import HANDLED_BY
from shared.model.client import Chat
from shared.model.opening import open_chat
from shared.model.recorded import RecordedAnswers
from shared.store.store import Store

OF_THE_LEDGER = (RolloutsJoined, ProposalsJoined, JobDied)  # it makes them; no handler returns them
MEASURED = "model_s"  # part of a cost: how long the advisor took, which is no decision


@dataclass(frozen=True)
class Mismatch:
    """`after`: the event that was handled; `event`: the kind of message that differs."""

    generation: int
    after: str
    event: str
    difference: Difference


@dataclass(frozen=True)
class Replayed:
    """`first`: the first mismatch; None: all is equal."""

    handled: int
    events: int  # that were derived and compared
    first: Mismatch | None = None


@dataclass(frozen=True)
class View:
    """The log as a handler saw it."""

    logged: Sequence[LoggedEvent]

    def events(self, run_id: str, after: int = 0) -> list[LoggedEvent]:
        return [one for one in self.logged if one.seq > after]


@dataclass(frozen=True)
class Kept:
    """A run's store, and a scratch folder for what handlers read from a folder."""

    store: Store
    unpacked: Path


def replay(log: Sequence[LoggedEvent], done: set[str], stored: Store) -> Replayed:
    """`done`: the ids of the jobs that were handled."""
    with tempfile.TemporaryDirectory() as scratch:
        return _replay(log, done, Kept(stored, Path(scratch)))


def _replay(log: Sequence[LoggedEvent], done: set[str], kept: Kept) -> Replayed:
    handled = compared = 0
    for place, logged in enumerate(log):
        service = HANDLED_BY.get(type(logged.event))
        job_id = _job_id(logged)
        if service != "feedback" or job_id not in done:
            continue
        answer = _answer(log, job_id)
        handled, compared = handled + 1, compared + len(answer)
        if mismatch := _handle_again(log, place, job_id, answer, kept):
            return Replayed(handled, compared, mismatch)
    return Replayed(handled, compared)


def _job_id(logged: LoggedEvent) -> str:
    return digest_of(["feedback", logged.id])


def _answer(log: Sequence[LoggedEvent], job_id: str) -> list[LoggedEvent]:
    return [one for one in log if one.job_id == job_id and not isinstance(one.event, OF_THE_LEDGER)]


def _handle_again(
    log: Sequence[LoggedEvent], place: int, job_id: str, answer: Sequence[LoggedEvent], kept: Kept
) -> Mismatch | None:
    """The mismatch in the first view, where no view gives what is stored."""
    logged, mismatch = log[place], None
    ends = [end for end, one in enumerate(log) if one.job_id == job_id]
    lengths = range(ends[0], place, -1) if ends else sorted({place + 1, len(log)})
    for length in lengths:
        before = log[:length]
        found = _compare(before, logged, answer, kept)
        if found is None:
            return None
        mismatch = mismatch or found
    return mismatch


def _compare(
    before: Sequence[LoggedEvent], logged: LoggedEvent, answer: Sequence[LoggedEvent], kept: Kept
) -> Mismatch | None:
    after, generation = type(logged.event).__name__, logged.event.generation
    store = ScratchStore(kept.store)
    try:
        advisor_of = partial(_recorded, store=store)
        handlers = derive_from(View(before), store, advisor_of, kept.unpacked)
        derived = handlers[type(logged.event)](logged.event)
    except (RatchetError, OSError) as error:
        kind = type(answer[0].event).__name__ if answer else "nothing"
        return Mismatch(generation, after, kind, Difference("", "an event", f"could not be derived: {error}"))
    fresh = _not_in(before, derived) if len(derived) > len(answer) else derived
    for number in range(max(len(answer), len(fresh))):
        there = answer[number].event if number < len(answer) else None
        made = fresh[number] if number < len(fresh) else None
        found = first_difference(_plain(there), _plain(made), store)
        if found:
            kind = type(there or made).__name__
            return Mismatch((there or made or logged.event).generation, after, kind, found)
    return None


def _not_in(log: Sequence[LoggedEvent], messages: Sequence[Message]) -> list[Message]:
    """Those that were not logged before: the ledger takes a message once."""
    known = {one.event.digest for one in log}
    return [message for message in messages if message.digest not in known]


def _plain(message: Message | None) -> Mapping[str, Any] | None:
    if message is None:
        return None
    fields = message.model_dump(mode="json")
    if isinstance(message, RunFinished | BaseFailed):
        del fields["number"]  # it is the ledger's
    if isinstance(fields.get("cost"), dict):
        fields["cost"] = {name: value for name, value in fields["cost"].items() if name != MEASURED}
    return fields


def _recorded(section: AdvisorSection, store: Store) -> Chat:
    """The advisor's endpoint, which is not asked. Its secrets are not needed, so none is read."""
    public = section.model_copy(update={"headers": {}})
    chat = open_chat(public, store, api_key="none")
    chat.answering = RecordedAnswers(store)
    return chat

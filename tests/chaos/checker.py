"""Reads what a run left behind (ledger, store, logs) and reports everything that was to be done once and was
not. It needs no knowledge of what was killed, and reads any run folder.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Row, select

from ratchet.runs.folder import RunFolder
from shared.ledger.ledger import Ledger, LoggedEvent
from shared.ledger.schema import arrivals, jobs, joins
from shared.messages import events as e
from shared.messages.routes import JOINED_INTO

_DONE = re.compile(r"\b\w+ ([0-9a-f]{12}) done in ")
_GAVE_AGAIN = re.compile(r" gave (\S+) again$", re.MULTILINE)
_ANSWERED = re.compile(r"^(\S+) .* answered (\S+): \d+ tokens in ([\d.]+) s")
_SLACK_S = 0.05  # between a log line's clock and a file's
# The message that a done job emits, where that is one. Joined messages are emitted besides.
_ONE_ANSWER: dict[type[e.Message], tuple[type[e.Message], ...]] = {
    e.ShardOpened: (e.CandidatesProposed, e.ShardFinished),
    e.CandidatesProposed: (e.CandidatesScored,),
    e.CandidatesScored: (e.CandidatesProposed, e.ShardFinished),
    e.HarnessProposed: (e.HarnessValidated, e.HarnessRefused),
    e.DemonstrationsRequested: (e.DemonstrationsReady,),
    e.DemonstrationsReady: (e.WeightUpdateProposed, e.WeightUpdateFailed),
    e.WeightUpdateProposed: (e.AdapterPublished, e.WeightUpdateFailed),
    e.BaseRequested: (e.BaseReady, e.BaseFailed),
}


@dataclass(frozen=True)
class Answered:
    """One reply that the model server gave in full: between these times, in seconds since 1970."""

    key: str
    asked_at: float
    at: float


class RunRecord:
    """Everything that the checks look at, read once."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        ledger = Ledger(folder.ledger_url)
        self.state = ledger.run_state(folder.run_id)
        self.log = ledger.events(folder.run_id)
        with ledger.database.read() as connection:
            self.jobs, self.joins, self.arrivals = (
                connection.execute(select(table)).all() for table in (jobs, joins, arrivals)
            )
        self.answered = list(answered(folder))

    def emitted(self, kind: type[e.Message]) -> list[Any]:
        return [logged.event for logged in self.log if isinstance(logged.event, kind)]


def violations(run: RunRecord) -> list[str]:
    """Every broken promise in words; empty where all were kept."""
    return [*_jobs(run), *_effects(run), *_course(run), *_joins(run), *_repeats(run), *_replies(run)]


def _jobs(run: RunRecord) -> Iterator[str]:
    for job in run.jobs:
        if job.state not in ("done", "dead"):
            yield f"job {job.type} {job.id[:12]} is still {job.state}"
        if job.state == "dead" and not job.last_error:
            yield f"job {job.type} {job.id[:12]} is dead without a reason"


def _effects(run: RunRecord) -> Iterator[str]:
    """Each done job produced its events once; no other event but the first is in the log."""
    by_job: dict[str | None, list[LoggedEvent]] = defaultdict(list)
    for logged in run.log:
        by_job[logged.job_id].append(logged)
    started = [type(logged.event).__name__ for logged in by_job.pop(None, [])]
    if started != ["RunStarted"]:
        yield f"submitted from outside: {started}"
    known = {job.id: job for job in run.jobs}
    yield from (f"{job_id} is no job and spoke" for job_id in by_job if job_id not in known)
    asked = {logged.seq: logged.event for logged in run.log}
    for job in run.jobs:
        yield from _answers(job, asked[job.seq], [logged.event for logged in by_job[job.id]])


def _answers(job: Row[Any], asked: e.Message, emitted: list[e.Message]) -> Iterator[str]:
    own = [event for event in emitted if type(event) not in JOINED_INTO.values()]
    kinds = _ONE_ANSWER.get(type(asked))
    if job.state == "done" and kinds and not (len(own) == 1 and isinstance(own[0], kinds)):
        yield f"{type(asked).__name__} {job.id[:12]} emitted {[type(event).__name__ for event in own]}"


def _course(run: RunRecord) -> Iterator[str]:
    """What happens once in a run is in the log once, whatever it cost."""
    seen = Counter(place for logged in run.log if (place := _place(logged.event)))
    yield from (f"{count} times: {place}" for place, count in seen.items() if count > 1)
    if not run.emitted(e.RunFinished):
        yield "the run has no end"


def _place(event: e.Message) -> tuple[object, ...] | None:
    """Where in the run an event stands; two events of one place would be one effect twice."""
    about = event.model_dump(include={"generation", "purpose", "round", "check", "turn"})
    slot = (event.join.id, event.join.slot) if event.join else ()
    if isinstance(event, e.RolloutsJoined | e.ProposalsJoined):
        join = event.arrivals[0].join
        slot = (join.id,) if join else ()
    if isinstance(event, e.JobDied):
        slot = (event.job_id,)
    kind = "decision" if isinstance(event, e.ReleasePromoted | e.ReleaseRejected) else type(event).__name__
    return (kind, *slot, *about.values())


def _joins(run: RunRecord) -> Iterator[str]:
    there = Counter(row.join_id for row in run.arrivals)
    made: Counter[str] = Counter()
    for event in (*run.emitted(e.RolloutsJoined), *run.emitted(e.ProposalsJoined)):
        made[event.arrivals[0].join.id] += 1
        slots = [arrival.join.slot for arrival in event.arrivals]
        if len(set(slots)) != event.arrivals[0].join.expected:
            yield f"{type(event).__name__} holds the slots {slots}"
    for join in run.joins:
        if there[join.id] != join.arrived:
            yield f"join {join.id}: {join.arrived} counted, {there[join.id]} stored"
        if made[join.id] != (join.arrived == join.expected):
            yield f"join {join.id}: {join.arrived} of {join.expected} arrived, {made[join.id]} times joined"


def _repeats(run: RunRecord) -> Iterator[str]:
    """The workers' own words: no job came to its end twice."""
    text = "\n".join(path.read_text(errors="replace") for path in run.folder.path.glob("logs/*.log"))
    done = Counter(_DONE.findall(text))
    yield from (f"job {job_id} was done {count} times" for job_id, count in done.items() if count > 1)
    if not done:
        yield "no worker logged that it did anything"


def _replies(run: RunRecord) -> Iterator[str]:
    """No reply that the store holds was asked for again, and none came from elsewhere."""
    names = Path(run.folder.parts.store_url) / "names" / "reply"
    stored_at = {path.name: path.stat().st_mtime for path in names.glob("*-*")}
    for reply in run.answered:
        if reply.asked_at > stored_at.get(reply.key, float("inf")) + _SLACK_S:
            yield f"reply {reply.key} was asked for again after it was stored"
    missing = stored_at.keys() - {reply.key for reply in run.answered} - given_again(run.folder)
    if missing:
        yield f"{len(missing)} stored replies that the model server never gave"


def paid_twice(run: RunRecord) -> list[str]:
    """Replies that the model made more than once."""
    times = Counter(reply.key for reply in run.answered)
    return [key for key, count in times.items() if count > 1]


def given_again(folder: RunFolder) -> set[str]:
    """Replies from the model server's memory, for a worker that died before it could store them."""
    return set(_GAVE_AGAIN.findall(_model_servers(folder)))


def answered(folder: RunFolder) -> Iterator[Answered]:
    """From the model server's log."""
    for line in _model_servers(folder).splitlines():
        if found := _ANSWERED.match(line):
            at = datetime.fromisoformat(found[1]).timestamp()
            yield Answered(found[2], at - float(found[3]), at)


def _model_servers(folder: RunFolder) -> str:
    return "\n".join(log.read_text(errors="replace") for log in folder.path.glob("logs/model_server-*.log"))

"""Attempts of a run, for `ratchet trace`: a row each, and one of them whole: prompts, replies, candidates,
outcomes. Times are those of the shard that an attempt travelled in, on the ledger's clock.

Attempts on the sealed split are shown once the run has ended, never before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ratchet.runs.folder import RunFolder
from shared.errors import SettingsError
from shared.ledger.history.folding import fold
from shared.ledger.history.state import RunHistory
from shared.ledger.ledger import LoggedEvent
from shared.messages.events import Message, ShardFinished, ShardOpened
from shared.messages.records import AttemptState, Evaluation, Sample, Turn
from shared.store.shards import get_shard
from shared.store.store import Store


@dataclass(frozen=True)
class Found:
    """An attempt with where it belongs. `began_s`, `ended_s`: of its shard, since the run's start."""

    generation: int
    purpose: str
    round: int
    shard: str
    began_s: float | None
    ended_s: float
    state: AttemptState


def read_attempts(folder: RunFolder, generation: int | None = None, purpose: str = "") -> Iterator[Found]:
    """Attempts whose shard has ended, in the order of generations and rounds; the run's own (0) come last."""
    log = folder.open_ledger().events(folder.run_id)
    history, times = fold(log), _times(log)
    for number, found in sorted(history.all.items(), key=lambda item: (item[0] == 0, item[0])):
        for (kind, turn), rollout in sorted(found.rollouts.items()):
            if (generation not in (None, number)) or purpose not in ("", kind) or is_sealed(kind, history):
                continue
            for digest in rollout.results:
                yield from _of_shard(folder.open_store(), number, kind, turn, digest, times)


def trace_rows(folder: RunFolder, generation: int | None = None, purpose: str = "") -> list[dict[str, Any]]:
    return [row_of(found) for found in read_attempts(folder, generation, purpose)]


def trace_attempt(folder: RunFolder, attempt: str) -> dict[str, Any]:
    """The whole attempt whose id begins with `attempt`. Raises SettingsError for none, or several."""
    found = [one for one in read_attempts(folder) if one.state.plan.attempt_id.startswith(attempt)]
    if len(found) != 1:
        there = ", ".join(one.state.plan.attempt_id for one in found[:3]) or "`ratchet trace RUN` lists them"
        raise SettingsError(f"{len(found)} attempts of {folder.run_id} begin with {attempt!r}", there)
    state = found[0].state
    return {
        **row_of(found[0]),
        "release": state.plan.release.model_dump(),
        "knobs": state.plan.knobs,
        "seed": state.plan.seed,
        "instance": state.plan.instance,
        "parent": state.plan.parent.model_dump() if state.plan.parent else None,
        "turns": [_turn(turn) for turn in state.turns],
        "answer": state.answer.content if state.answer else None,
        "final": state.final.model_dump() if state.final else None,
    }


def row_of(found: Found) -> dict[str, Any]:
    state = found.state
    return {
        "attempt": state.plan.attempt_id,
        "generation": found.generation,
        "purpose": found.purpose,
        "round": found.round,
        "arm": state.plan.arm,
        "instance_id": state.plan.instance.get("id"),
        "turns_taken": len(state.turns),
        "tried": len(state.tried),
        "outcome": state.final.outcome if state.final else None,
        "score": state.final.score if state.final else None,
        "error": state.error,
        "began_s": found.began_s,
        "ended_s": found.ended_s,
    }


def _turn(turn: Turn) -> dict[str, Any]:
    return {
        "prompts": [request["messages"] for request in turn.action.get("ask", [])],
        "replies": [_reply(reply) for reply in turn.replies],
        "candidates": [
            {"content": candidate["content"], **_result(turn.results, number)}
            for number, candidate in enumerate(turn.action.get("try", []))
        ],
    }


def _reply(reply: Sample) -> dict[str, Any]:
    return {
        "text": reply.text,
        "reasoning": reply.reasoning,
        "finish_reason": reply.finish_reason,
        "tokens": len(reply.token_ids) or None,
        "waited_s": reply.waited_s or None,
    }


def _result(results: tuple[Evaluation, ...], number: int) -> dict[str, Any]:
    return results[number].model_dump() if number < len(results) else {}


def is_sealed(purpose: str, history: RunHistory) -> bool:
    """Whether attempts of that purpose may not be shown yet."""
    return purpose == "test" and not history.finished


def _of_shard(
    store: Store, generation: int, purpose: str, turn: int, digest: str, times: ShardTimes
) -> Iterator[Found]:
    began, ended = times.by_result[digest]
    for state in get_shard(store, digest).attempts:
        yield Found(generation, purpose, turn, digest, began, ended, state)


@dataclass
class ShardTimes:
    """When each shard was opened and ended, in seconds since the run's first event, by its result's digest.
    It takes a run's events one after another, so that a reader of a long run can keep it current."""

    by_result: dict[str, tuple[float | None, float]] = field(default_factory=dict)
    _start: float | None = None
    _opened: dict[tuple[str, str], float] = field(default_factory=dict)

    def add(self, event: Message, at: float) -> None:
        self._start = at if self._start is None else self._start
        key = (event.join.id, event.join.slot) if event.join else ("", "")
        if isinstance(event, ShardOpened):
            self._opened[key] = at - self._start
        elif isinstance(event, ShardFinished) and event.result is not None:
            self.by_result[event.result] = (self._opened.get(key), at - self._start)


def _times(log: list[LoggedEvent]) -> ShardTimes:
    found = ShardTimes()
    for logged in log:
        found.add(logged.event, logged.at)
    return found

"""Answers instances under a release, by the same handlers as the agent and the sandbox, in this process and
without a run: the scaffold steps in its box, the model is asked, public checks are made; nothing is scored.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from ratchet.runs.folder import RunFolder
from shared.bus.bus import Handlers
from shared.config.settings import StackSettings
from shared.errors import RatchetError
from shared.messages.events import CandidatesProposed, Message, ShardFinished, ShardOpened
from shared.messages.records import AttemptPlan, AttemptState, JsonObject, Release, ShardPlan, ShardState
from shared.store.shards import get_shard
from shared.store.store import put_json

SEED = 0  # the same instance under the same release gets the same answer


@dataclass(frozen=True)
class Answer:
    """`content` is None where the scaffold gave none, for the reason `error`."""

    content: str | None
    error: str
    release: str  # digest


class Answerer:
    """One thread may use it. `settings` name the parts of the run and where its base model is served."""

    def __init__(self, folder: RunFolder, settings: StackSettings) -> None:
        from agent_service.worker import build as build_agent
        from sandbox_service.worker import build as build_sandbox

        self._run_id = folder.run_id
        self._store = folder.open_store()
        self._config = put_json(self._store, folder.config())
        self._closing = ExitStack()
        self._handlers: Handlers = {
            **build_agent(settings, self._closing),
            **build_sandbox(settings, self._closing),
        }

    def close(self) -> None:
        """End the scaffolds' processes and the connections to the model."""
        self._closing.close()

    def answer(self, instances: Sequence[JsonObject], release: Release) -> list[Answer]:
        """One answer an instance, in order. Raises RatchetError where the model or the box can't be used."""
        state = self._play(self._open(instances, release))
        return [_answer_of(attempt, release) for attempt in state.attempts]

    def _open(self, instances: Sequence[JsonObject], release: Release) -> ShardOpened:
        shard = secrets.token_hex(8)  # every request is answered anew
        plans = tuple(
            AttemptPlan(
                attempt_id=f"{shard}-{number}", instance=instance, arm="served", release=release, seed=SEED
            )
            for number, instance in enumerate(instances)
        )
        plan = put_json(self._store, ShardPlan(attempts=plans))
        return ShardOpened(run_id=self._run_id, generation=0, config=self._config, purpose="eval", plan=plan)

    def _play(self, event: Message) -> ShardState:
        """Hand each event to its handler until every attempt has an answer or has failed."""
        while True:
            (event,) = self._handlers[type(event)](event)
            if isinstance(event, ShardFinished):
                if event.result is None:
                    raise RatchetError(f"no answer: {event.reason}")
                return get_shard(self._store, event.result)
            if isinstance(event, CandidatesProposed) and event.check == "final":
                return get_shard(self._store, event.state)
            if not isinstance(event, CandidatesProposed) and type(event) not in self._handlers:
                raise RatchetError(f"no answer: {event.model_dump_json()[:300]}")


def _answer_of(attempt: AttemptState, release: Release) -> Answer:
    content = attempt.answer.content if attempt.answer else None
    return Answer(content, attempt.error, release.digest)

"""Drives attempts: each scaffold steps until it wants candidates tried, answers, or fails. All requests of a
shard's attempts are sent together, and a slow reply delays only its own attempt. Limits are the task's, equal
in every arm.

A scaffold that fails is data: its attempt ends with the lowest score. A broken box or endpoint raises.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path

from agent_service import traced
from agent_service.adapters import Served
from agent_service.shards import is_trying
from shared.errors import ChatUnavailableError, UnknownModelError
from shared.harness.bundle import Harness
from shared.harness.steps import ScaffoldFailed, ScaffoldPool, scaffold_context
from shared.messages.records import (
    AttemptState,
    Candidate,
    Evaluation,
    JsonObject,
    Outcome,
    ShardState,
    Turn,
    canonical_json,
    derive_seed,
    digest_of,
)
from shared.model.client import Answer, Asking, Reply, gathered
from shared.model.wire import SampleRequest
from shared.store.store import Store, get_json, put_json
from shared.tasks.task import Task

ASKED = "asked"  # kind of the binding in the store
RELOADS = 3  # of adapters, for one attempt's replies


@dataclass(frozen=True)
class Stage:
    """What a shard runs on: every harness unpacked, every release served."""

    run_id: str
    task: Task
    pool: ScaffoldPool
    harnesses: Mapping[str, tuple[Path, Harness]]  # by digest
    served: Mapping[str, Served]  # by release digest
    asking: Asking
    store: Store
    reload: Callable[[UnknownModelError], None]  # load again what the endpoint has lost
    generation: int = 0  # for traces
    first_step_at: dict[str, float] = field(default_factory=dict)  # by harness digest; filled while it runs

    @property
    def place(self) -> tuple[str, int]:
        return self.run_id, self.generation


def advance(state: ShardState, stage: Stage) -> ShardState:
    """Run until every attempt waits for an evaluation or has ended. Each continues as soon as its own replies
    are there. Raises an error that concerns all; where single requests alone could not be answered now, the
    others continue first."""
    attempts = list(state.attempts)
    waiting: dict[int, _Asked] = {}
    trouble: ChatUnavailableError | None = None

    def go_on(number: int, attempt: AttemptState) -> None:
        attempts[number] = _play(attempt, stage)
        if asked := _ask(attempts[number], stage):
            waiting[number] = asked

    for number, attempt in enumerate(state.attempts):
        go_on(number, attempt)
    while waiting:
        for number in _answered(waiting):
            asked = waiting.pop(number)
            try:
                replies = _replies(asked, stage)
            except ChatUnavailableError as error:
                if not error.of_request:
                    raise
                trouble = error
            else:
                traced.chats(stage.place, attempts[number], asked.requests, replies, asked.at_ns)
                go_on(number, _give(attempts[number], replies, stage))
    if trouble:
        raise trouble
    return state.model_copy(update={"attempts": tuple(attempts), "cost": state.cost + stage.asking.cost})


@dataclass(frozen=True)
class _Asked:
    """What one attempt waits for: a list of futures a request."""

    requests: Sequence[SampleRequest]
    futures: Sequence[Sequence[Future[Answer]]]
    at_ns: int = field(default_factory=time.time_ns)

    @property
    def open(self) -> list[Future[Answer]]:
        return [future for futures in self.futures for future in futures if not future.done()]


def _ask(attempt: AttemptState, stage: Stage) -> _Asked | None:
    requests = _requests(attempt, stage)
    return _Asked(requests, [stage.asking.ask(request) for request in requests]) if requests else None


def _answered(waiting: Mapping[int, _Asked]) -> list[int]:
    """Those whose replies are all there, as soon as there are any."""
    while not (ready := [number for number, asked in waiting.items() if not asked.open]):
        wait([future for asked in waiting.values() for future in asked.open], return_when=FIRST_COMPLETED)
    return ready


def _replies(asked: _Asked, stage: Stage) -> list[Reply]:
    """Raises what concerns all, and ChatUnavailableError."""
    for _ in range(RELOADS):
        try:
            return [gathered(futures) for futures in asked.futures]
        except UnknownModelError as error:
            stage.reload(error)
            asked = _Asked(asked.requests, [stage.asking.again(request) for request in asked.requests])
    return [gathered(futures) for futures in asked.futures]


def _play(attempt: AttemptState, stage: Stage) -> AttemptState:
    """Step until the attempt waits for replies or for an evaluation, or has ended."""
    while _may_step(attempt) and not _requests(attempt, stage):
        attempt = _step(attempt, stage)
    return attempt


def _may_step(attempt: AttemptState) -> bool:
    return attempt.answer is None and attempt.final is None and not is_trying(attempt)


def _step(attempt: AttemptState, stage: Stage) -> AttemptState:
    limits = stage.task.manifest.attempt
    if len(attempt.turns) >= limits.turns:
        return _cut_off(attempt, f"no answer within {limits.turns} turns", stage)
    started_ns, failed = time.time_ns(), ""
    try:
        action = _action(attempt, stage)
    except ScaffoldFailed as error:
        failed = error.message
        return _failed(attempt, "crashed", failed, stage)
    except ValueError as error:
        failed = f"the action can't be stored: {error}"
        return _failed(attempt, "refused", failed, stage)
    finally:
        stage.first_step_at.setdefault(attempt.plan.release.harness, time.time())
        traced.step(stage.place, attempt, started_ns, failed)
    return _take(attempt, action, stage)


def _action(attempt: AttemptState, stage: Stage) -> JsonObject:
    """What the scaffold does next. What it asks is kept as it was first asked: a step may draw random
    numbers, so a scaffold that did not like its replies could make the job fail, and be given others when it
    is done again. Raises ScaffoldFailed, and ValueError for what can't be stored (a NaN in a schema)."""
    results = [result.model_dump(mode="json") for turn in attempt.turns for result in turn.results]
    plan = attempt.plan.model_dump(mode="json", exclude={"attempt_id"})  # the same when it is tried alone
    key = digest_of([stage.run_id, plan, len(attempt.turns), results])
    if kept := stage.store.lookup(ASKED, key):
        return dict(get_json(stage.store, kept))
    digest, task = attempt.plan.release.harness, stage.task
    folder, harness = stage.harnesses[digest]
    payload, owner = _payload(attempt, harness, task), f"{stage.run_id}/{attempt.plan.arm}"
    action = stage.pool.step(digest, folder, payload, task.manifest.attempt, task.public, owner)
    canonical_json(action)
    if "ask" not in action:
        return action
    return dict(get_json(stage.store, stage.store.bind(ASKED, key, put_json(stage.store, action))))


def _payload(attempt: AttemptState, harness: Harness, task: Task) -> JsonObject:
    context = scaffold_context(task, harness, attempt.plan.parent, attempt.plan.seed)
    history = [
        {
            "action": turn.action,
            "replies": [reply.text for reply in turn.replies],
            "results": [result.model_dump() for result in turn.results],
        }
        for turn in attempt.turns
    ]
    plan = attempt.plan
    knobs = harness.values | plan.knobs
    return {"instance": plan.instance, "history": history, "knobs": knobs, "context": context}


def _take(attempt: AttemptState, action: JsonObject, stage: Stage) -> AttemptState:
    """The attempt with its scaffold's action, unless that would spend more than the task allows."""
    if "answer" in action:
        return attempt.model_copy(update={"answer": Candidate.model_validate(action["answer"])})
    limits = stage.task.manifest.attempt
    asked = len(attempt.replies) + sum(request["n"] for request in action.get("ask", ()))
    tried = len(attempt.tried) + len(action.get("try", ()))
    if asked > limits.requests:
        return _cut_off(attempt, f"asks for reply {asked} of at most {limits.requests}", stage)
    if tried > limits.candidates:
        return _cut_off(attempt, f"tries candidate {tried} of at most {limits.candidates}", stage)
    return attempt.model_copy(update={"turns": (*attempt.turns, Turn(action=action))})


def _requests(attempt: AttemptState, stage: Stage) -> list[SampleRequest]:
    """What the attempt waits for. Seeds depend on its plan's, not on its arm, so that arms are paired."""
    if attempt.final or attempt.answer or not attempt.turns or attempt.turns[-1].replies:
        return []
    served = stage.served[attempt.plan.release.digest]
    return [
        SampleRequest(
            model=served.name,
            weights=served.weights,
            messages=asked["messages"],
            n=asked["n"],
            schema=asked.get("schema"),
            temperature=asked["temperature"],
            max_tokens=min(asked["max_tokens"], stage.task.manifest.attempt.max_tokens),
            seed=derive_seed(attempt.plan.seed, len(attempt.turns) - 1, number),
        )
        for number, asked in enumerate(attempt.turns[-1].action.get("ask", ()))
    ]


def _give(attempt: AttemptState, replies: Sequence[Reply], stage: Stage) -> AttemptState:
    samples = tuple(sample for reply in replies for sample in reply.samples)
    turn = attempt.turns[-1].model_copy(update={"replies": samples})
    attempt = attempt.model_copy(update={"turns": (*attempt.turns[:-1], turn)})
    refused = [reply.refused for reply in replies if reply.refused]
    return _cut_off(attempt, refused[0], stage, "request_refused") if refused else attempt


def _cut_off(attempt: AttemptState, why: str, stage: Stage, outcome: Outcome = "refused") -> AttemptState:
    """End an attempt that may go no further: with the best that it has tried, if anything."""
    if not attempt.tried:
        return _failed(attempt, outcome, why, stage)
    best, _ = max(attempt.tried, key=lambda pair: pair[1].score)
    return attempt.model_copy(update={"answer": best, "error": why})


def _failed(attempt: AttemptState, outcome: Outcome, why: str, stage: Stage) -> AttemptState:
    final = Evaluation(outcome=outcome, score=stage.task.manifest.score.low, detail=why)
    return attempt.model_copy(update={"final": final, "error": why})

"""Validates a proposed patch: apply it, then run the scaffold on stored traces.

The smoke run shows that it runs (valid actions, an answer within the task's turns) and nothing more: whether
it is better is the gate's question. No model is asked; recorded replies and results are played back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from shared.harness.bundle import Harness, PatchRefused, apply_patch, load_harness
from shared.harness.steps import ScaffoldFailed, ScaffoldPool, scaffold_context
from shared.messages.proposals import Patch
from shared.messages.records import AttemptState, Evaluation, JsonObject, Parent
from shared.store.shards import get_shard
from shared.store.store import Store, get_bundle, materialize, put_bundle
from shared.tasks.draws import draw
from shared.tasks.task import Task

SMOKE_ATTEMPTS = 3


@dataclass(frozen=True)
class Trace:
    """What a smoke run plays back."""

    instance: JsonObject
    seed: int
    parent: Parent | None
    replies: tuple[str, ...]
    results: tuple[Evaluation, ...]


@dataclass(frozen=True)
class Unpacked:
    digest: str
    folder: Path
    harness: Harness


@dataclass(frozen=True)
class Played:
    """An attempt played back: what the scaffold asked, turn by turn, and what it answered."""

    asked: list[JsonObject]
    answer: str


def validate(
    store: Store, pool: ScaffoldPool, cache: Path, task: Task, patch: Patch, smoke: Sequence[str]
) -> str:
    """The digest of the patched harness. Raises PatchRefused with the reason if it does not hold."""
    patched = unpack(store, cache, patch)
    for trace in traces(store, task, smoke):
        try:
            play(pool, patched, task, trace)
        except ScaffoldFailed as failure:
            name = trace.instance.get("id", "an instance")
            raise PatchRefused(f"the smoke run on {name} failed: {failure.message}") from None
    return patched.digest


def unpack(store: Store, cache: Path, patch: Patch) -> Unpacked:
    """The patched harness, ready to be stepped. Raises PatchRefused where the patch does not apply."""
    files = apply_patch(get_bundle(store, patch.base), patch)
    digest = put_bundle(store, files)
    return Unpacked(digest, materialize(store, digest, cache / "harnesses"), load_harness(files))


def traces(store: Store, task: Task, smoke: Sequence[str]) -> list[Trace]:
    """A few recorded attempts; where there are none yet, one instance with empty replies."""
    states = [get_shard(store, digest) for digest in smoke]
    attempts = [attempt for state in states for attempt in state.attempts if attempt.replies]
    step = max(1, len(attempts) // SMOKE_ATTEMPTS)
    found = [trace_of(attempt) for attempt in attempts[::step][:SMOKE_ATTEMPTS]]
    if found:
        return found
    return [Trace(instance, 0, None, ("",), ()) for instance in draw(task, "train", 1, 0)]


def trace_of(attempt: AttemptState) -> Trace:
    plan = attempt.plan
    results = tuple(result for turn in attempt.turns for result in turn.results)
    replies = tuple(reply.text for reply in attempt.replies)
    return Trace(plan.instance, plan.seed, plan.parent, replies, results)


def play(pool: ScaffoldPool, patched: Unpacked, task: Task, trace: Trace) -> Played:
    """Step to the answer. Raises ScaffoldFailed for a bad action, or if no answer comes in time."""
    limits = task.manifest.attempt
    context = scaffold_context(task, patched.harness, trace.parent, trace.seed)
    payload: JsonObject = {"instance": trace.instance, "knobs": patched.harness.values, "context": context}
    nothing = Evaluation(outcome="wrong", score=task.manifest.score.low)
    replies, results = cycle(trace.replies), cycle(trace.results or (nothing,))
    history: list[JsonObject] = []
    for _ in range(limits.turns):
        given = {**payload, "history": history}
        action = pool.step(patched.digest, patched.folder, given, limits, task.public)
        if "answer" in action:
            asked = [turn["action"] for turn in history if "ask" in turn["action"]]
            return Played(asked, action["answer"]["content"])
        history.append({"action": action, **_answers(action, replies, results)})
    raise ScaffoldFailed(f"no answer after {limits.turns} turns")


def _answers(action: JsonObject, replies: Iterator[str], results: Iterator[Evaluation]) -> JsonObject:
    asked = sum(request["n"] for request in action.get("ask", ()))
    tried = len(action.get("try", ()))
    return {
        "replies": [next(replies) for _ in range(asked)],
        "results": [next(results).model_dump(mode="json") for _ in range(tried)],
    }

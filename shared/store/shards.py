"""A shard's state in the store. Each event stores what it added, and names the state before: whole states
would repeat every reply at each event. Those of older runs are whole, and are read alike.
"""

from __future__ import annotations

import json

from pydantic import ValidationError

from shared.errors import DecodeError
from shared.messages.records import AttemptState, Candidate, ShardPlan, ShardState
from shared.messages.steps import AttemptChange, ShardStep
from shared.store.store import Store, get_record, put_json


def begun(plan: ShardPlan) -> ShardState:
    """The state of a shard in which nothing has happened yet."""
    return ShardState(
        attempts=tuple(AttemptState(plan=attempt) for attempt in plan.attempts), null_arms=plan.null_arms
    )


def put_shard(store: Store, before: str, earlier: ShardState, state: ShardState) -> str:
    """Store `state`, which came of `earlier`. `before`: that one's digest, or the plan's of a shard that had
    just begun."""
    pairs = enumerate(zip(earlier.attempts, state.attempts, strict=True))
    changes = tuple(_change(index, old, new) for index, (old, new) in pairs if old != new)
    step = ShardStep(before=before, changes=changes, cost=state.cost, reload=state.reload)
    if _after(earlier, step) != state:  # what no step can say is written whole
        return put_json(store, state)
    return put_json(store, step)


def get_shard(store: Store, digest: str) -> ShardState:
    """The state with that digest, or the one that a plan begins. Raises ArtifactError, DecodeError."""
    steps: list[ShardStep] = []
    while True:
        found = json.loads(store.get(digest))
        if "changes" not in found:
            break
        steps.append(get_record(store, digest, ShardStep))
        digest = steps[-1].before
    state = _whole(digest, found)
    for step in reversed(steps):
        state = _after(state, step)
    return state


def _whole(digest: str, found: object) -> ShardState:
    """A plan's attempts have no plan in them; a state's have."""
    first = found["attempts"][0] if isinstance(found, dict) and found.get("attempts") else {}
    try:
        if "attempt_id" in first:
            return begun(ShardPlan.model_validate_json(json.dumps(found)))
        return ShardState.model_validate_json(json.dumps(found))
    except ValidationError as error:
        raise DecodeError(f"object {digest[:12]} is no state of a shard: {error}") from error


def _change(index: int, old: AttemptState, new: AttemptState) -> AttemptChange:
    kept = 0
    while kept < min(len(old.turns), len(new.turns)) and old.turns[kept] == new.turns[kept]:
        kept += 1
    results = new.turns[kept].results if kept < min(len(old.turns), len(new.turns)) else ()
    if results and old.turns[kept].model_copy(update={"results": results}) == new.turns[kept]:
        kept += 1
    else:
        results = ()
    answer = new.answer if new.answer != old.answer else None
    answered = _where_tried(new, answer) if answer else None
    return AttemptChange(
        index=index,
        kept=kept,
        results=results,
        turns=new.turns[kept:],
        answer=None if answered else answer,
        answered=answered,
        final=new.final if new.final != old.final else None,
        error=new.error if new.error != old.error else "",
    )


def _where_tried(attempt: AttemptState, answer: Candidate) -> tuple[int, int] | None:
    for number, turn in enumerate(attempt.turns):
        for index, tried in enumerate(turn.action.get("try", ())):
            if Candidate.model_validate(tried) == answer:
                return number, index
    return None


def _after(state: ShardState, step: ShardStep) -> ShardState:
    attempts = list(state.attempts)
    for change in step.changes:
        attempts[change.index] = _changed(attempts[change.index], change)
    return state.model_copy(update={"attempts": tuple(attempts), "cost": step.cost, "reload": step.reload})


def _changed(attempt: AttemptState, change: AttemptChange) -> AttemptState:
    turns = list(attempt.turns[: change.kept])
    if change.results:
        turns[-1] = turns[-1].model_copy(update={"results": change.results})
    turns += change.turns
    answer = change.answer or attempt.answer
    if change.answered:
        number, index = change.answered
        answer = Candidate.model_validate(turns[number].action["try"][index])
    about = {
        "turns": tuple(turns),
        "answer": answer,
        "final": change.final or attempt.final,
        "error": change.error or attempt.error,
    }
    return attempt.model_copy(update=about)

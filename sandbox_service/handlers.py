"""The sandbox's event handlers. Plain functions; only the bus commits what they return."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sandbox_service.demonstrating import Answers, demonstrations, in_prompts_of_both
from sandbox_service.replaying import Replaying
from sandbox_service.validate_harness import unpack, validate
from shared import tracing
from shared.bus.bus import Handlers
from shared.config.settings import RunConfig
from shared.errors import VerifierError
from shared.harness.bundle import PatchRefused
from shared.harness.steps import ScaffoldPool
from shared.messages.events import (
    CandidatesProposed,
    CandidatesScored,
    DemonstrationsReady,
    DemonstrationsRequested,
    HarnessProposed,
    HarnessRefused,
    HarnessValidated,
    Message,
    RunFinished,
)
from shared.messages.proposals import Patch
from shared.messages.records import BatchScores, CandidateBatch, Cost, JsonObject
from shared.store.store import Store, get_json, get_record, put_json
from shared.tasks.task import Task, task_of


@dataclass(frozen=True)
class Deps:
    store: Store
    cache_dir: Path
    evaluate: Callable[[CandidateBatch], BatchScores]
    answers: Answers
    scaffolds: ScaffoldPool


def on_candidates_proposed(event: CandidatesProposed, *, deps: Deps) -> list[Message]:
    """Score the batch. The agent's state is returned unread. A broken verifier ends the run: no retry repairs
    it, and every further instance would be lost silently."""
    batch, started_ns = get_record(deps.store, event.batch, CandidateBatch), time.time_ns()
    try:
        scores = deps.evaluate(batch)
    except VerifierError as error:
        return [RunFinished(run_id=event.run_id, generation=event.generation, state="failed", why=str(error))]
    _trace(event, batch, scores, started_ns)
    chain = event.model_dump(exclude={"type", "join"})
    return [
        CandidatesScored(
            **chain,
            join=event.join,
            scores=put_json(deps.store, scores),
            cost=scores.cost,
            verifier=scores.verifier,
        )
    ]


def _trace(event: CandidatesProposed, batch: CandidateBatch, scores: BatchScores, started_ns: int) -> None:
    """A span for each candidate, in its attempt's trace: as long as its whole batch was looked at."""
    if not tracing.is_on():
        return
    for block, found in zip(batch.blocks, scores.blocks, strict=True):
        for (attempt_id, _), evaluation in zip(block.entries, found, strict=True):
            attributes: dict[str, tracing.Value] = {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "verifier",
                "gen_ai.evaluation.name": event.check,
                "gen_ai.evaluation.score.value": evaluation.score,
                "gen_ai.evaluation.score.label": evaluation.outcome,
            }
            place = (event.run_id, event.generation, attempt_id)
            tracing.record("execute_tool verifier", *place, started_ns, attributes)


def on_harness_proposed(event: HarnessProposed, *, deps: Deps) -> list[Message]:
    """Apply the patch and make a smoke run; of several, take the one that does best on stored traces.
    Refusal is an answer, not an error."""
    task = task_of(get_record(deps.store, event.config, RunConfig))
    place = {"run_id": event.run_id, "generation": event.generation, "join": event.join}
    if event.others:
        return [_chosen(event, task, place, deps)]
    patch = get_record(deps.store, event.patch, Patch)
    try:
        digest = validate(deps.store, deps.scaffolds, deps.cache_dir, task, patch, event.smoke)
    except PatchRefused as refusal:
        return [HarnessRefused(**place, reason=refusal.message)]
    return [HarnessValidated(**place, harness=digest, reason=event.reason)]


def _chosen(event: HarnessProposed, task: Task, place: JsonObject, deps: Deps) -> Message:
    config = get_record(deps.store, event.config, RunConfig)
    replaying = Replaying(deps.store, deps.scaffolds, deps.cache_dir, task, config, deps.evaluate)
    found = replaying.choose((event.patch, *event.others), event.smoke)
    replay = put_json(deps.store, found.record)
    if found.chosen is None:
        first = found.record.patches[0].refused
        why = f"none of {len(found.record.patches)} drafts holds; the first: {first}"
        return HarnessRefused(**place, reason=why, replay=replay, cost=found.cost)
    chosen, cost = found.chosen, found.cost
    reason = get_record(deps.store, chosen.patch, Patch).reason
    return HarnessValidated(
        **place,
        harness=chosen.harness,
        patch=chosen.patch,
        replay=replay,
        reason=f"{reason}; {found.why}",
        cost=cost,
    )


def on_demonstrations_requested(event: DemonstrationsRequested, *, deps: Deps) -> list[Message]:
    """Right answers of train instances in the live harness's prompts and the proposed one's. None is
    an answer, not an error."""
    started = time.monotonic()
    task = task_of(get_record(deps.store, event.config, RunConfig))
    posted = get_json(deps.store, event.posted) if event.posted else []
    right_answers = deps.answers(task, event.count, event.seed, posted)
    show = partial(demonstrations, deps.store, deps.scaffolds, deps.cache_dir, task, right_answers)
    made, failure = show(event.harness)
    reasons = [event.reason, f"demonstrate failed: {failure}" if failure else ""]
    if event.patch and (proposed := patched(deps, event.patch)):
        new, failure = show(proposed)
        made = in_prompts_of_both(made, new, event.count)
        reasons.append(f"demonstrate of the proposed harness failed: {failure}" if failure else "")
    place = {"run_id": event.run_id, "generation": event.generation, "join": event.join}
    digest = put_json(deps.store, made) if made.items else ""
    cost = Cost(box_s=round(time.monotonic() - started, 3))
    return [
        DemonstrationsReady(
            **place,
            demonstrations=digest,
            count=len(made.items),
            reason="; ".join(filter(None, reasons)),
            cost=cost,
        )
    ]


def patched(deps: Deps, patch: str) -> str:
    """The digest of the proposed harness; empty where the patch does not apply, which its own lever says."""
    try:
        return unpack(deps.store, deps.cache_dir, get_record(deps.store, patch, Patch)).digest
    except PatchRefused:
        return ""


def handlers(deps: Deps) -> Handlers:
    return {
        CandidatesProposed: partial(on_candidates_proposed, deps=deps),
        HarnessProposed: partial(on_harness_proposed, deps=deps),
        DemonstrationsRequested: partial(on_demonstrations_requested, deps=deps),
    }

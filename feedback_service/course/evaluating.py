"""Evaluation on request: one release on given instances; the run consists of this alone."""

from __future__ import annotations

from feedback_service.course.situation import Situation
from shared.decisions.arms import final_score, instance_key
from shared.decisions.endings import ending_of
from shared.decisions.intervals import metric_intervals, t_interval
from shared.ledger.history.state import Rollout
from shared.messages.events import EvaluationRequested, Message, RolloutsOpened, RunFinished
from shared.messages.records import ArmRelease, AttemptState, JsonObject, Release, derive_seed
from shared.store.store import put_json

ARM = "eval"


def open_evaluation(now: Situation, request: EvaluationRequested, release: Release) -> list[Message]:
    return [
        RolloutsOpened(
            run_id=now.run_id,
            config=request.config,
            purpose="eval",
            releases=(ArmRelease(arm=ARM, release=release),),
            instances=request.instances,
            seeds=(derive_seed(request.seed, "eval"),),
        )
    ]


def finish_evaluation(now: Situation, rollout: Rollout) -> list[Message]:
    """RunFinished with mean, low, high, n and one entry an instance. What was lost has a null score."""
    attempts = {
        instance_key(attempt.plan.instance): attempt
        for state in now.states(rollout)
        for attempt in state.attempts
    }
    rows = [_row(instance, attempts.get(instance_key(instance)), now) for instance in now.instances(rollout)]
    scores = [row["score"] for row in rows if row["score"] is not None]
    bounds = now.task.manifest.score
    interval = t_interval(scores, bounds.low, bounds.high).model_dump(mode="json") if scores else {"n": 0}
    lost = len(rows) - len(scores)
    why = f"{len(scores)} of {len(rows)} instances scored"
    if lost:
        why += f"; lost: {'; '.join(sorted(set(rollout.losses))) or 'not timed on this machine'}"
    finals = [attempt.final for attempt in attempts.values() if attempt.final is not None]
    metrics = metric_intervals([final.metrics for final in finals])
    result = {"mean": None, "low": None, "high": None} | interval
    result |= {"metrics": metrics, "instances": rows, "lost": lost}
    state = "done" if scores else "failed"
    return [RunFinished(run_id=now.run_id, state=state, why=why, test=put_json(now.store, result))]


def _row(instance: JsonObject, attempt: AttemptState | None, now: Situation) -> JsonObject:
    row: JsonObject = {"id": instance_key(instance), "instance": instance, "score": None, "outcome": "lost"}
    if attempt is None:
        return row
    row["score"] = final_score(attempt, now.task.manifest.score)
    if attempt.final is not None:
        row |= {"outcome": attempt.final.outcome, "detail": attempt.final.detail} | attempt.final.metrics
        samples = attempt.answer.samples if attempt.answer else ()
        if attempt.final.outcome != "ok" and (how := ending_of(attempt, samples)):
            row["ending"] = how
    elif attempt.error:
        row |= {"outcome": "refused", "detail": attempt.error}
    return row

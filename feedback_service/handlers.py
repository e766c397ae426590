"""Feedback's event handlers: what each event leads to. The only place that decides; everything is read from
the run's event log, so a handler that runs twice emits the same messages twice."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from feedback_service.course.continuing import continue_failed
from feedback_service.course.course import finish_test, go_on
from feedback_service.course.deciding import after_confirm, after_screen, open_screen
from feedback_service.course.evaluating import finish_evaluation, open_evaluation
from feedback_service.course.situation import Deps, Situation, read_situation
from feedback_service.propose.proposing import propose, propose_weights
from feedback_service.propose.trying import next_trials
from shared.bus.bus import Handler
from shared.decisions.endings import REFUSED, count_endings, ending, endings_text
from shared.decisions.levers import levers_in_use, serves_own_base, why_off
from shared.errors import DecodeError
from shared.harness.bundle import with_knobs
from shared.harness.folder import read_harness
from shared.ledger.history.folding import fold
from shared.messages import events as e
from shared.messages.records import Release, ShardState
from shared.store.store import put_bundle

SEED_HARNESS = "seed_harness"  # kind of the binding in the store


def on_run_started(event: e.RunStarted, *, deps: Deps) -> list[e.Message]:
    now = read_situation(event, deps)
    if event.start is None:
        keep_seed_harness(now)
    if not levers_in_use(now.config):
        why = f"no lever is left: {why_off(now.config, 'weights')}; {why_off(now.config, 'harness')}"
        return [e.RunFinished(run_id=event.run_id, state="failed", why=why)]
    return need_base(now)


def on_evaluation_requested(event: e.EvaluationRequested, *, deps: Deps) -> list[e.Message]:
    now = read_situation(event, deps)
    if event.release is not None:
        return open_evaluation(now, event, event.release)
    keep_seed_harness(now)
    return need_base(now)


def on_base_ready(event: e.BaseReady, *, deps: Deps) -> list[e.Message]:
    now = read_situation(event, deps)
    return [] if now.history.finished else begin(now, event.base)


def on_base_failed(event: e.BaseFailed, *, deps: Deps) -> list[e.Message]:
    return [e.RunFinished(run_id=event.run_id, state="failed", why=f"no base model: {event.reason}")]


def on_rollouts_joined(event: e.RolloutsJoined, *, deps: Deps) -> list[e.Message]:
    now, arrival = read_situation(event, deps), event.arrivals[0]
    if now.history.finished:
        return []
    generation = now.history.all[event.generation]
    rollout = generation.rollouts[(arrival.purpose, arrival.round)]
    match arrival.purpose:
        case "train":
            if why := why_unanswered(now.states(rollout)):
                return [e.RunFinished(run_id=event.run_id, state="failed", why=why)]
            return next_trials(now, generation, 0) or propose(now, generation, rollout)
        case "design":
            assert generation.train is not None, "a design follows train rollouts"
            return next_trials(now, generation, arrival.round + 1) or propose(
                now, generation, generation.train
            )
        case "screen":
            return after_screen(now, generation)
        case "confirm":
            return after_confirm(now, generation)
        case "test":
            return finish_test(now, rollout)
        case "eval":
            return finish_evaluation(now, rollout)


def on_demonstrations_ready(event: e.DemonstrationsReady, *, deps: Deps) -> list[e.Message]:
    now = read_situation(event, deps)
    return [] if now.history.finished else [propose_weights(now, now.history.all[event.generation], event)]


def on_proposals_joined(event: e.ProposalsJoined, *, deps: Deps) -> list[e.Message]:
    now = read_situation(event, deps)
    return [] if now.history.finished else open_screen(now, now.history.all[event.generation])


def on_job_died(event: e.JobDied, *, deps: Deps) -> list[e.Message]:
    """The arrival that the dead job would have made, so that its join completes; without a join the run ends
    here."""
    if fold(deps.ledger.events(event.run_id)).finished:
        return []
    try:
        message = e.decode(event.event)
    except DecodeError as error:
        return [e.RunFinished(run_id=event.run_id, state="failed", why=f"a job can't be read: {error}")]
    where = {"run_id": event.run_id, "generation": message.generation, "join": message.join}
    tries = f"{event.attempts} attempts"
    if event.fence > event.attempts:  # distinguishes a second death, after `ratchet retry`, from the first
        tries += f" ({event.fence} leases)"
    reason = f"{event.service} gave {type(message).__name__} up after {tries}: {event.reason}"
    match message:
        case e.ShardOpened() | e.CandidatesProposed() | e.CandidatesScored():
            purpose = {"purpose": message.purpose, "round": message.round}
            return [e.ShardFinished(**where, **purpose, result=None, reason=reason)]
        case e.HarnessProposed():
            return [e.HarnessRefused(**where, reason=reason)]
        case e.WeightUpdateProposed() | e.DemonstrationsRequested():
            return [e.WeightUpdateFailed(**where, reason=reason)]
        case e.BaseRequested():
            return [e.BaseFailed(run_id=event.run_id, reason=reason)]
        case e.ReleasePromoted() | e.JobDied():
            return []
    return [e.RunFinished(run_id=event.run_id, state="failed", why=reason)]


def on_run_extended(event: e.RunExtended, *, deps: Deps) -> list[e.Message]:
    """A run that has not ended reads its new limits at its next decision."""
    now = read_situation(event, deps)
    return go_on(now) if event.continues and not now.history.finished else []


def on_run_reopened(event: e.RunReopened, *, deps: Deps) -> list[e.Message]:
    """Jobs that are done again lead on by themselves."""
    now = read_situation(event, deps)
    return [] if event.jobs or now.history.finished else continue_failed(now)


def why_unanswered(states: Sequence[ShardState]) -> str:
    """Why the run can't continue: the endpoint refused every attempt, or no reply holds an answer. Empty:
    some were answered."""
    attempts = [attempt for state in states for attempt in state.attempts]
    refused = [one for one in attempts if one.final is not None and one.final.outcome == REFUSED]
    if attempts and len(refused) == len(attempts):
        return f"all {len(attempts)} train attempts were refused: {refused[0].error}"
    replies = [reply for attempt in attempts for reply in attempt.replies]
    if replies and all(ending(reply) and not reply.text.strip() for reply in replies):
        hint = "set attempt.max_tokens higher, or model.reasoning_effort lower"
        return f"no reply holds an answer: {endings_text(count_endings(attempts))} ({hint})"
    return ""


def keep_seed_harness(now: Situation) -> str:
    """The task's harness, with the config's knobs, as the run's first bundle; kept as first read."""
    if kept := now.store.lookup(SEED_HARNESS, now.run_id):
        return kept
    files = with_knobs(read_harness(now.task.folder / "harness"), now.config.harness)
    return now.store.bind(SEED_HARNESS, now.run_id, put_bundle(now.store, files))


def need_base(now: Situation) -> list[e.Message]:
    if now.history.start is not None:
        return begin(now, now.history.start.base)
    if serves_own_base(now.config):
        return begin(now, f"endpoint:{now.config.model.name}")
    return [e.BaseRequested(run_id=now.run_id, config=now.history.config)]


def begin(now: Situation, base: str) -> list[e.Message]:
    """The seed release is whole: start the first generation, or the evaluation that was asked for."""
    release = now.history.start or Release(base=base, harness=keep_seed_harness(now))
    if now.history.evaluation is not None:
        return open_evaluation(now, now.history.evaluation, release)
    now.history.first = now.history.release = release
    return go_on(now)


def handlers(deps: Deps) -> dict[type[e.Message], Handler]:
    return {
        e.RunStarted: partial(on_run_started, deps=deps),
        e.EvaluationRequested: partial(on_evaluation_requested, deps=deps),
        e.BaseReady: partial(on_base_ready, deps=deps),
        e.BaseFailed: partial(on_base_failed, deps=deps),
        e.RolloutsJoined: partial(on_rollouts_joined, deps=deps),
        e.DemonstrationsReady: partial(on_demonstrations_ready, deps=deps),
        e.ProposalsJoined: partial(on_proposals_joined, deps=deps),
        e.JobDied: partial(on_job_died, deps=deps),
        e.RunExtended: partial(on_run_extended, deps=deps),
        e.RunReopened: partial(on_run_reopened, deps=deps),
    }

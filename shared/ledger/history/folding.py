"""Folds a run's event log into its state (state.py): pure, light, one event after another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shared.ledger.history.state import Generation, Proposal, Rollout, RunHistory
from shared.messages import events as e
from shared.messages.records import Cost

if TYPE_CHECKING:
    from shared.ledger.ledger import LoggedEvent


def fold(events: Iterable[LoggedEvent]) -> RunHistory:
    history = RunHistory()
    for logged in events:
        apply(history, logged.event, logged.at)
    return history


def apply(history: RunHistory, event: e.Message, at: float) -> None:
    """One event onto the history. Events that do not change the run's course only move its clock."""
    if not history.run_id:
        history.run_id, history.started_at = event.run_id, at
    history.last_at = max(history.last_at, at)
    match event:
        case e.RunStarted():
            history.config, history.start, history.origin = event.config, event.start, event.origin
            history.brought = event.posted
        case e.EvaluationRequested():
            history.config, history.evaluation = event.config, event
        case e.BaseReady():
            history.base, history.signer = event.base, event.signer
            history.cost += event.cost
        case e.RolloutsOpened():
            _open(history, event)
        case e.ShardFinished():
            _arrive(history, event)
        case e.CandidatesScored():
            if event.verifier:  # events of older versions don't name it
                history.verifiers.setdefault(event.verifier, event.generation)
        case e.ReleasePromoted() | e.ReleaseRejected():
            _decide(history, event)
        case e.ReleaseRolledBack():
            history.release = event.release
            history.rollbacks.append(event)
        case e.ScorePosted():
            history.scores[event.answer_id] = event
        case e.StopRequested():
            history.stop = True
        case e.RunExtended():
            _extend(history, event, at)
        case e.RunReopened():
            _continue(history, at)
        case e.BaseFailed() | e.RunFinished():
            _finish(history, event, at)
        case _:
            _propose(history, event)


def _extend(history: RunHistory, event: e.RunExtended, at: float) -> None:
    history.config = event.config
    if event.generations > event.generations_before:
        history.limits.append((event.generations_before, event.generations))
    if event.continues:
        _continue(history, at)
        history.continued_after = sum(bool(one.decision) for one in history.generations)


def _continue(history: RunHistory, at: float) -> None:
    history.ended_s += at - (history.finished_at if history.finished_at is not None else at)
    history.state, history.why, history.finished_at = "running", "", None
    history.test, history.stop = None, False


def _generation(history: RunHistory, number: int) -> Generation:
    if number not in history.all:
        history.all[number] = Generation(number, history.release)
    return history.all[number]


def _open(history: RunHistory, event: e.RolloutsOpened) -> None:
    if event.purpose == "train" and history.first is None:
        history.first = history.release = event.releases[0].release
    history.last_opened = event
    _generation(history, event.generation).rollouts.setdefault((event.purpose, event.round), Rollout(event))


def _arrive(history: RunHistory, event: e.ShardFinished) -> None:
    generation = _generation(history, event.generation)
    rollout = generation.rollouts.get((event.purpose, event.round))
    slot = event.join.slot if event.join else ""
    if rollout is None:
        return
    before = rollout.shards.get(slot)
    if before is not None and (before.result is not None or event.result is None):
        return  # it has arrived; only a loss is replaced, by `ratchet retry`
    rollout.shards[slot] = event
    _pay(history, generation, event.cost)
    generation.endings.update(event.endings)
    # Times are counted from the promotion before; the first worker to load a part reports the reload time.
    if not event.reload:
        return  # nearly every shard: to look for the promotion would cost a walk over all generations
    promoted = [
        past for past in history.promotions if past.number < event.generation or event.generation == 0
    ]
    if promoted:
        for part, reload_ms in event.reload.items():
            promoted[-1].reload.setdefault(part, reload_ms)


def _decide(history: RunHistory, event: e.ReleasePromoted | e.ReleaseRejected) -> None:
    generation = _generation(history, event.generation)
    generation.why, generation.evidence = event.why, event.evidence
    if isinstance(event, e.ReleasePromoted):
        generation.decision, generation.arm = "promoted", event.arm
        generation.promoted = history.release = event.release
    else:
        generation.decision = "rejected"


def _finish(history: RunHistory, event: e.BaseFailed | e.RunFinished, at: float) -> None:
    if isinstance(event, e.RunFinished) and not history.finished:
        history.state, history.why, history.test, history.finished_at = event.state, event.why, event.test, at


def _propose(history: RunHistory, event: e.Message) -> None:
    generation = _generation(history, event.generation)
    generation.analysis = vars(event).get("analysis") or generation.analysis
    match event:
        case e.HarnessProposed():
            generation.harness = Proposal(event.patch, event.reason, design=event.design)
            _pay(history, generation, event.cost)
        case e.DemonstrationsRequested() | e.DemonstrationsReady():
            _pay(history, generation, event.cost)
        case e.WeightUpdateProposed():
            generation.weights = Proposal(event.update, event.reason)
            _pay(history, generation, event.cost)
        case e.HarnessValidated():
            proposal = generation.harness or _blank(generation, "harness")
            proposal.made, proposal.reason, proposal.replay = event.harness, event.reason, event.replay
            proposal.digest = event.patch or proposal.digest
            _pay(history, generation, event.cost)
        case e.HarnessRefused():
            proposal = generation.harness or _blank(generation, "harness")
            proposal.refused, proposal.replay = event.reason, event.replay
            proposal.design = proposal.design or event.design
            _pay(history, generation, event.cost)
        case e.AdapterPublished():
            proposal = generation.weights or _blank(generation, "weights")
            proposal.made, proposal.metrics, proposal.curves = event.adapter, event.metrics, event.curves
            _pay(history, generation, event.cost)
        case e.WeightUpdateFailed():
            (generation.weights or _blank(generation, "weights")).refused = event.reason
            _pay(history, generation, event.cost)


def _blank(generation: Generation, lever: str) -> Proposal:
    """The place of an answer to which there was no proposal: nothing could be proposed."""
    proposal = Proposal()
    setattr(generation, lever, proposal)
    return proposal


def _pay(history: RunHistory, generation: Generation, cost: Cost) -> None:
    generation.cost += cost
    history.cost += cost

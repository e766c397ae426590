"""The state of a run, folded from its event log: pure, light, the same for handlers and for `ratchet show`.

Generation 0 holds what belongs to the run as a whole: the sealed test, and evaluations on request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from shared.messages import events as e
from shared.messages.records import Arm, Cost, Purpose, Release

if TYPE_CHECKING:
    from shared.ledger.ledger import LoggedEvent


class EventLog(Protocol):
    """What a reader of a run needs of the ledger."""

    def events(self, run_id: str, after: int = 0) -> list[LoggedEvent]: ...


@dataclass
class Proposal:
    """One lever's proposal and its answer: `made` is the harness or the adapter, `refused` the reason why
    there is none."""

    digest: str = ""  # of the Patch or the WeightUpdate; empty: nothing could be proposed
    reason: str = ""
    made: str | None = None
    refused: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    curves: str = ""  # digest of TrainingCurves
    replay: str = ""  # digest of Replay: what stored traces said of an advisor's patches
    design: str = ""  # digest of DesignRecord, where a design of experiments ran


@dataclass
class Rollout:
    """One opened comparison with the shards that have arrived, by slot."""

    opened: e.RolloutsOpened
    shards: dict[str, e.ShardFinished] = field(default_factory=dict)

    @property
    def results(self) -> list[str]:
        """Digests of the ShardStates that are there, in slot order."""
        return [shard.result for _, shard in sorted(self.shards.items()) if shard.result is not None]

    @property
    def losses(self) -> list[str]:
        """Why shards are missing."""
        return [shard.reason for _, shard in sorted(self.shards.items()) if shard.result is None]


@dataclass
class Generation:
    number: int
    release: Release | None = None  # live when it began
    rollouts: dict[tuple[Purpose, int], Rollout] = field(default_factory=dict)  # by purpose and round
    harness: Proposal | None = None
    weights: Proposal | None = None
    analysis: str = ""  # digest of the advisor's Analysis
    decision: str = ""  # promoted, rejected; empty: not yet
    arm: str = ""  # that was promoted
    why: str = ""
    evidence: str | None = None  # digest of GateRecord
    promoted: Release | None = None
    cost: Cost = field(default_factory=Cost)
    reload: dict[str, float] = field(default_factory=dict)  # harness_ms, adapter_ms: of its promotion
    endings: Counter[str] = field(default_factory=Counter)  # of the model's replies

    @property
    def train(self) -> Rollout | None:
        """The last train rollout: a failed one may have been opened anew."""
        rounds = [rollout for (purpose, _), rollout in sorted(self.rollouts.items()) if purpose == "train"]
        return rounds[-1] if rounds else None

    def arms(self, levers: tuple[str, ...]) -> dict[Arm, Release]:
        """The releases that live: base, and those that the answered proposals make of it."""
        base = self.release
        assert base is not None, "a generation without a release"
        harness = self.harness.made if self.harness and "harness" in levers else None
        adapter = self.weights.made if self.weights and "weights" in levers else None
        living: dict[Arm, Release] = {"base": base}
        if harness:
            living["harness"] = base.model_copy(update={"harness": harness})
        if adapter:
            living["weights"] = base.model_copy(update={"adapter": adapter})
        if harness and adapter:
            living["both"] = base.model_copy(update={"harness": harness, "adapter": adapter})
        return living


@dataclass
class RunHistory:
    run_id: str = ""
    config: str = ""  # digest of RunConfig
    evaluation: e.EvaluationRequested | None = None
    base: str | None = None
    signer: str = ""  # public key of the run's trainer; empty: it began before adapters were signed
    first: Release | None = None  # the seed release
    release: Release | None = None  # live now
    rollbacks: list[e.ReleaseRolledBack] = field(default_factory=list)
    brought: str = ""  # digest of a list: the train instances that came with `start`
    scores: dict[str, e.ScorePosted] = field(default_factory=dict)  # by answer; a later one replaces it
    verifiers: dict[str, int] = field(default_factory=dict)  # by digest, in order: the first generation of it
    stop: bool = False  # its user asked it to end
    start: Release | None = None  # of another run, which this one started from
    origin: str = ""  # RUN:GENERATION of that one
    last_opened: e.RolloutsOpened | None = None
    limits: list[tuple[int, int]] = field(default_factory=list)  # generations before and after each raise
    continued_after: int = 0  # generations that were decided when it was last extended
    ended_s: float = 0.0  # time between an end and the event that let it continue
    all: dict[int, Generation] = field(default_factory=dict)
    cost: Cost = field(default_factory=Cost)
    state: str = "running"
    why: str = ""
    test: str | None = None
    started_at: float = 0.0
    last_at: float = 0.0
    finished_at: float | None = None

    @property
    def generations(self) -> list[Generation]:
        """The turns of the loop, in order; without what belongs to the whole run."""
        return [self.all[number] for number in sorted(self.all) if number > 0]

    @property
    def promotions(self) -> list[Generation]:
        return [generation for generation in self.generations if generation.decision == "promoted"]

    @property
    def finished(self) -> bool:
        return self.state != "running"

    @property
    def elapsed_s(self) -> float:
        """Between the first and the last event, without the time when it had ended, on the ledger's clock:
        so that decisions recompute."""
        return self.last_at - self.started_at - self.ended_s


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
    generation.analysis = getattr(event, "analysis", "") or generation.analysis
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

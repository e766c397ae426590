"""The state of a run, which folding.py makes of its event log: the same for handlers and for `ratchet show`.

Generation 0 holds what belongs to the run as a whole: the sealed test, and evaluations on request.
"""

from __future__ import annotations

from collections import Counter
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

    @property
    def sampled(self) -> Release | None:
        """Under which its train attempts ran: the live release, or that with an adapter not promoted yet."""
        return self.train.opened.releases[0].release if self.train else self.release

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

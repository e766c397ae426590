"""Every event that services send each other, as frozen pydantic models with a version tag; large values
travel by digest. Unknown fields are refused. No times and no random ids inside: a job's id is the digest of
its event. A new field with a default keeps the version; any other change is a new class, and both are handled
until the old ones are done.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from shared.errors import DecodeError
from shared.messages.control import ReleaseRolledBack as ReleaseRolledBack
from shared.messages.control import RunExtended as RunExtended
from shared.messages.control import RunReopened as RunReopened
from shared.messages.control import ScorePosted as ScorePosted
from shared.messages.control import StopRequested as StopRequested
from shared.messages.message import Join as Join
from shared.messages.message import Message as Message
from shared.messages.records import ArmRelease, Check, Cost, Lever, Purpose, Release


class RunStarted(Message):
    type: Literal["run_started.v1"] = "run_started.v1"
    config: str  # digest of the resolved RunConfig
    start: Release | None = None  # of another run, which this one starts from; None: the task's own
    origin: str = ""  # RUN:GENERATION of that one
    posted: str = ""  # digest of a list: train instances that scores posted there had made; empty: none
    made_by: str = ""  # the run that made its adapter
    signer: str = ""  # ... and the public key of its trainer; empty: none, or one that did not sign


class EvaluationRequested(Message):
    """Score one release on these instances; the run consists of this alone."""

    type: Literal["evaluation_requested.v1"] = "evaluation_requested.v1"
    config: str
    release: Release | None  # None: the seed release, which is built first
    instances: str  # digest of a JSON list of instances
    seed: int = 0
    made_by: str = ""  # the run that made the release
    signer: str = ""  # ... and the public key of its trainer; empty: none, or one that did not sign


class BaseRequested(Message):
    type: Literal["base_requested.v1"] = "base_requested.v1"
    config: str


class BaseReady(Message):
    type: Literal["base_ready.v1"] = "base_ready.v1"
    base: str  # digest of the model bundle
    cost: Cost = Cost()
    signer: str = ""  # the trainer's public key, in hexadecimal; empty: it began before adapters were signed


class BaseFailed(Message):
    type: Literal["base_failed.v1"] = "base_failed.v1"
    reason: str
    number: int = 0  # of the run's ends before; the ledger numbers them


class RolloutsOpened(Message):
    type: Literal["rollouts_opened.v1"] = "rollouts_opened.v1"
    config: str
    purpose: Purpose
    round: int = 0  # confirm comes in rounds
    releases: tuple[ArmRelease, ...]
    instances: str  # digest of a JSON list of instances
    seeds: tuple[int, ...]  # one attempt per (instance, release, seed)
    levers: tuple[Lever, ...] = ()  # train: that the generation pulls; empty: all that the config allows
    why_levers: str = ""


class ShardOpened(Message):
    type: Literal["shard_opened.v1"] = "shard_opened.v1"
    config: str
    purpose: Purpose
    round: int = 0
    plan: str  # digest of ShardPlan


class CandidatesProposed(Message):
    type: Literal["candidates_proposed.v1"] = "candidates_proposed.v1"
    config: str
    purpose: Purpose
    round: int = 0
    check: Check
    turn: int
    state: str  # digest of ShardState: the agent's state, returned unread
    batch: str  # digest of CandidateBatch


class CandidatesScored(Message):
    type: Literal["candidates_scored.v1"] = "candidates_scored.v1"
    config: str
    purpose: Purpose
    round: int = 0
    check: Check
    turn: int
    state: str
    batch: str
    scores: str  # digest of BatchScores
    cost: Cost = Cost()
    verifier: str = ""  # digest of the task's folder as it scored


class ShardFinished(Message):
    type: Literal["shard_finished.v1"] = "shard_finished.v1"
    purpose: Purpose
    round: int = 0
    result: str | None  # digest of ShardState; None: the shard is lost, for `reason`
    reason: str = ""
    cost: Cost = Cost()
    reload: dict[str, float] = Field(default_factory=dict)  # harness_ms, adapter_ms: since the promotion
    endings: dict[str, int] = Field(default_factory=dict)  # of replies (shared/decisions/endings.py)


class RolloutsJoined(Message):
    """Created by the ledger: every shard of a rollout has arrived."""

    type: Literal["rollouts_joined.v1"] = "rollouts_joined.v1"
    arrivals: tuple[ShardFinished, ...]


class HarnessProposed(Message):
    type: Literal["harness_proposed.v1"] = "harness_proposed.v1"
    config: str
    patch: str  # digest of Patch
    smoke: tuple[str, ...]  # digests of ShardState: traces to replay
    reason: str
    cost: Cost = Cost()  # of the advisor
    others: tuple[str, ...] = ()  # digests of further patches: a replay on the traces chooses one of all
    analysis: str = ""  # digest of the advisor's Analysis
    design: str = ""  # digest of DesignRecord; empty: no design of experiments ran


class HarnessValidated(Message):
    type: Literal["harness_validated.v1"] = "harness_validated.v1"
    harness: str
    reason: str
    patch: str = ""  # which of several was chosen; empty: there was one
    replay: str = ""  # digest of Replay: what stored traces said of each
    cost: Cost = Cost()


class HarnessRefused(Message):
    type: Literal["harness_refused.v1"] = "harness_refused.v1"
    reason: str
    cost: Cost = Cost()  # of an advisor whose proposal could not be used
    analysis: str = ""
    replay: str = ""
    design: str = ""  # as in HarnessProposed


class DemonstrationsRequested(Message):
    """Right answers of train instances, in the prompts of a harness and in those of the one that is proposed
    beside: what a weight update may imitate."""

    type: Literal["demonstrations_requested.v1"] = "demonstrations_requested.v1"
    config: str
    harness: str  # whose scaffold writes the prompts
    count: int  # train instances, at most
    seed: int  # of their draw
    reason: str = ""  # returned with the answer
    cost: Cost = Cost()  # of the advisor, where no harness is proposed
    analysis: str = ""  # as in HarnessProposed
    posted: str = ""  # digest of a list of further train instances, made of posted scores; empty: none
    patch: str = ""  # digest of the Patch that makes the proposed harness; empty: none is proposed


class DemonstrationsReady(Message):
    type: Literal["demonstrations_ready.v1"] = "demonstrations_ready.v1"
    demonstrations: str  # digest of Demonstrations; empty: there are none, for `reason`
    count: int = 0
    reason: str = ""
    cost: Cost = Cost()


class WeightUpdateProposed(Message):
    type: Literal["weight_update_proposed.v1"] = "weight_update_proposed.v1"
    config: str
    release: Release  # the adapter starts from this one's (or from zero)
    update: str  # digest of WeightUpdate
    reason: str
    cost: Cost = Cost()  # of the advisor, where no harness is proposed
    analysis: str = ""  # as in HarnessProposed


class AdapterPublished(Message):
    type: Literal["adapter_published.v1"] = "adapter_published.v1"
    adapter: str
    reason: str
    metrics: dict[str, float] = Field(default_factory=dict)
    cost: Cost = Cost()
    curves: str = ""  # digest of TrainingCurves
    signer: str = ""  # public key of the trainer that signed it; empty: it is older than signing


class WeightUpdateFailed(Message):
    type: Literal["weight_update_failed.v1"] = "weight_update_failed.v1"
    reason: str
    cost: Cost = Cost()
    analysis: str = ""  # as in HarnessProposed


class ProposalsJoined(Message):
    """Created by the ledger: the proposals of both levers (or of the one in use) have arrived."""

    type: Literal["proposals_joined.v1"] = "proposals_joined.v1"
    arrivals: tuple[ProposalAnswer, ...]


class ReleasePromoted(Message):
    type: Literal["release_promoted.v1"] = "release_promoted.v1"
    release: Release
    arm: str
    evidence: str  # digest of GateRecord
    why: str


class ReleaseRejected(Message):
    type: Literal["release_rejected.v1"] = "release_rejected.v1"
    release: Release  # what stays live
    evidence: str | None
    why: str


class RunFinished(Message):
    type: Literal["run_finished.v1"] = "run_finished.v1"
    state: Literal["done", "failed", "stopped", "budget", "cancelled"]
    why: str
    number: int = 0  # of the run's ends before; the ledger numbers them
    test: str | None = None  # digest of {"first": Interval, "last": Interval, ...}


class JobDied(Message):
    """Created in the transaction that marks a job dead."""

    type: Literal["job_died.v1"] = "job_died.v1"
    job_id: str
    service: str
    event: dict[str, Any]  # the message that could not be handled
    reason: str
    attempts: int
    fence: int = 0  # all its leases


ProposalAnswer = Annotated[
    HarnessValidated | HarnessRefused | AdapterPublished | WeightUpdateFailed, Field(discriminator="type")
]
ProposalsJoined.model_rebuild()

Event = Annotated[
    RunStarted
    | EvaluationRequested
    | BaseRequested
    | BaseReady
    | BaseFailed
    | RolloutsOpened
    | ShardOpened
    | CandidatesProposed
    | CandidatesScored
    | ShardFinished
    | RolloutsJoined
    | HarnessProposed
    | HarnessValidated
    | HarnessRefused
    | DemonstrationsRequested
    | DemonstrationsReady
    | WeightUpdateProposed
    | AdapterPublished
    | WeightUpdateFailed
    | ProposalsJoined
    | ReleasePromoted
    | ReleaseRejected
    | ReleaseRolledBack
    | ScorePosted
    | StopRequested
    | RunExtended
    | RunReopened
    | RunFinished
    | JobDied,
    Field(discriminator="type"),
]
_EVENT: TypeAdapter[Any] = TypeAdapter(Event)


def decode(body: str | bytes | dict[str, Any]) -> Message:
    """A message from its JSON. Raises DecodeError for an unknown tag, a wrong shape or an unknown field."""
    try:
        if isinstance(body, dict):
            return _EVENT.validate_python(body)  # type: ignore[no-any-return]
        return _EVENT.validate_json(body)  # type: ignore[no-any-return]
    except ValidationError as error:
        raise DecodeError(
            f"not a message of this version: {error}", "drain or upgrade this worker"
        ) from error

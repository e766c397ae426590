"""Values that services pass to each other by reference: stored as JSON in the store, named by digest.

Frozen pydantic, so that what is read was checked. No behaviour beyond small derived values.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

JsonObject = dict[str, Any]  # plain JSON objects: instances, knobs, actions; checked by their owners

Purpose = Literal["train", "design", "screen", "confirm", "test", "eval"]
KnobValue = bool | int | float | str
Arm = Literal["base", "harness", "weights", "both"]
Lever = Literal["harness", "weights"]
Check = Literal["public", "final"]
Outcome = Literal[
    "ok",
    "wrong",  # ran, but the answer is not right
    "compile_error",
    "crashed",
    "timeout",
    "no_output",
    "over_limit",  # memory, processes, output size
    "refused",  # not an acceptable candidate: empty, too long, bad schema
    "request_refused",  # the endpoint did not take what the attempt asked of the model
    "not_timed",  # right, but there is no device to time it on: never a score
    "lost",  # broken infrastructure, tried again in vain: never a score
]

GATE_PURPOSES: frozenset[str] = frozenset({"screen", "confirm", "test", "eval"})  # never from the cache
UNSCORED: frozenset[str] = frozenset({"not_timed", "lost"})  # outcomes without a score
GPU_S = "gpu_s"  # metric of an evaluation: for how long it held a GPU
ARMS: tuple[Arm, ...] = ("base", "harness", "weights", "both")  # also the order in which ties prefer


class Record(BaseModel):
    """Root of all stored values."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def canonical_json(value: Any) -> bytes:
    """The one byte form of a JSON value: sorted keys, no spaces, UTF-8, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest_of(value: Any) -> str:
    """sha256 (hex) of a JSON value's canonical form."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def public_view(instance: JsonObject) -> JsonObject:
    """What scaffolds, models and advisors see of an instance: fields that begin with `_` are the
    verifier's."""
    return {name: value for name, value in instance.items() if not name.startswith("_")}


def derive_seed(*parts: str | int) -> int:
    """A 31-bit seed that depends on every part and on nothing else (not on order of execution)."""
    return int(digest_of(list(parts))[:8], 16) & 0x7FFFFFFF


class Cost(Record):
    """Resources used. Adds up with `+`."""

    evaluations: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    model_s: float = 0.0  # seconds spent waiting for the model endpoint
    box_s: float = 0.0  # seconds of compiling, running and timing candidates
    train_s: float = 0.0
    gpu_s: float = 0.0  # of training, of replies of our own model server, of candidates that ran on one
    usd: float = 0.0
    estimated_tokens: int = 0  # of the tokens above: not reported by the endpoint, estimated

    def __add__(self, other: Cost) -> Cost:
        theirs = vars(other)
        sums = {name: mine + theirs[name] for name, mine in vars(self).items()}
        return Cost.model_construct(**sums)  # unchecked: sums of checked numbers, thousands in a long run


class Release(Record):
    """(base model, harness, adapter): the one unit that is gated, promoted, rolled back, served, exported."""

    base: str  # digest of the base model's bundle, or "endpoint:<model name>" where an endpoint serves it
    harness: str  # digest of the harness bundle
    adapter: str | None = None  # digest of the adapter bundle; None: the base model as it is

    @property
    def digest(self) -> str:
        return digest_of(self.model_dump())


class ArmRelease(Record):
    """One contender of a rollout. `arm` is an Arm in screen and confirm, else a free label (train, first).
    A design's contenders are the live release with other knobs, each on some of the instances."""

    arm: str
    release: Release
    knobs: dict[str, KnobValue] = Field(default_factory=dict)  # in the place of the harness's
    instances: tuple[int, ...] = ()  # places in the rollout's list; empty: all of them


class Parent(Record):
    """A past attempt that a train rollout may start from (PUCT chose it)."""

    content: str  # the candidate as the verifier saw it
    reply: str  # the model text that it came from
    score: float
    node: str  # its id in the archive
    metrics: dict[str, float] = Field(default_factory=dict)  # of its evaluation


class AttemptPlan(Record):
    """One attempt to be made: which instance, under which release, with which seed."""

    attempt_id: str
    instance: JsonObject
    arm: str
    release: Release
    seed: int
    parent: Parent | None = None
    knobs: dict[str, KnobValue] = Field(default_factory=dict)  # in the place of the harness's

    @property
    def group(self) -> str:
        """The same for all attempts that start alike: from one instance and one parent."""
        return digest_of([self.instance, self.parent.node if self.parent else None])


class ShardPlan(Record):
    """All attempts of a shard. Every release's attempt on an instance stands in the same shard."""

    attempts: tuple[AttemptPlan, ...]
    null_arms: dict[str, str] = Field(default_factory=dict)  # arms that can't be measured, and why


class Sample(Record):
    """One reply of the model. `free[t]` is False where constrained decoding left token t no choice."""

    text: str
    prompt_ids: tuple[int, ...] = ()  # empty: the endpoint returns no token ids
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()  # of each sampled token, under the policy that sampled it
    free: tuple[bool, ...] = ()
    finish_reason: str = ""
    reasoning: str = ""  # a reasoning model's thoughts before its answer; no part of `text`
    waited_s: float = 0.0  # for it, when it was first made, quick retries included; 0: not measured


class StoredReply(Record):
    """A reply as it is kept, with what it cost and the job that paid for it."""

    sample: Sample
    cost: Cost = Cost()
    payer: str = ""


class Candidate(Record):
    """What the scaffold wants evaluated. `samples` are indices into the attempt's replies, in order."""

    content: str
    samples: tuple[int, ...] = ()


class Evaluation(Record):
    """The verifier's result for one candidate. `score` is within the task's bounds, lowest for a failure."""

    outcome: Outcome
    score: float
    detail: str = ""  # capped text for people and for the model: compiler output, first wrong element
    metrics: dict[str, float] = Field(default_factory=dict)  # speedup, candidate_ms, baseline_ms, ...


class Turn(Record):
    """One action of the scaffold with what came back: replies to `ask`, results of `try`."""

    action: JsonObject
    replies: tuple[Sample, ...] = ()
    results: tuple[Evaluation, ...] = ()


class AttemptState(Record):
    """An attempt under way: what happened so far. `error`: why the scaffold failed."""

    plan: AttemptPlan
    turns: tuple[Turn, ...] = ()
    answer: Candidate | None = None
    final: Evaluation | None = None
    error: str = ""

    @property
    def replies(self) -> tuple[Sample, ...]:
        return tuple(reply for turn in self.turns for reply in turn.replies)

    @property
    def tried(self) -> tuple[tuple[Candidate, Evaluation], ...]:
        """Every publicly evaluated candidate with its evaluation, in order."""
        return tuple(
            (Candidate.model_validate(candidate), result)
            for turn in self.turns
            for candidate, result in zip(turn.action.get("try", ()), turn.results, strict=False)
        )


class ShardState(Record):
    """All attempts of a shard, between two events and at its end."""

    attempts: tuple[AttemptState, ...]
    cost: Cost = Cost()
    reload: dict[str, float] = Field(default_factory=dict)  # as in ShardFinished
    null_arms: dict[str, str] = Field(default_factory=dict)  # as in ShardPlan


class Block(Record):
    """Candidates of one instance: for a timing task they are timed in one interleaved block."""

    instance: JsonObject
    entries: tuple[tuple[str, str], ...]  # (attempt_id, candidate content)


class CandidateBatch(Record):
    """Candidates that the sandbox is to score. `fresh` forbids the evaluation cache (gate, test, eval)."""

    task: str
    check: Check
    fresh: bool
    limits: dict[str, int | float] = Field(default_factory=dict)  # of RunConfig.attempt
    blocks: tuple[Block, ...]


class BatchScores(Record):
    """Evaluations in the shape of the batch: one list a block, one evaluation an entry."""

    blocks: tuple[tuple[Evaluation, ...], ...]
    cost: Cost = Cost()
    verifier: str = ""  # digest of the task's folder as it scored


class PostedScore(Record):
    """What a user posted about an answer of a served release."""

    answer_id: str
    instance: JsonObject
    answer: str
    release: str  # digest of the release that gave it
    score: float
    right: str = ""  # what the answer should have been; empty: not told
    note: str = ""

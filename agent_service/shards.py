"""Between attempts and events: plans cut into shards, candidates laid into batches, scores put back.
Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product

from shared.config.settings import RunConfig
from shared.errors import ArtifactError
from shared.messages.events import RolloutsOpened
from shared.messages.records import (
    GATE_PURPOSES,
    AttemptPlan,
    AttemptState,
    BatchScores,
    Block,
    CandidateBatch,
    Check,
    Evaluation,
    JsonObject,
    Parent,
    Purpose,
    ShardPlan,
    ShardState,
    derive_seed,
    digest_of,
)


def plan_shards(
    event: RolloutsOpened, instances: Sequence[JsonObject], size: int, parents: Sequence[Parent]
) -> list[ShardPlan]:
    """One attempt per (instance, release, seed). Releases differ in nothing but the release: same seed, same
    parent. Every second instance is offered one of `parents`, in order; the others start from nothing. All
    attempts on an instance start alike, so that what is rewarded is what they add, and not a good parent."""
    left = iter(parents)
    starts = [next(left, None) if number % 2 else None for number in range(len(instances))]
    shards = []
    for first in range(0, len(instances), size):
        places = product(range(first, min(first + size, len(instances))), event.seeds)
        attempts = (
            plan for i, seed in places for plan in _plan_attempts(event, i, instances[i], seed, starts[i])
        )
        shards.append(ShardPlan(attempts=tuple(attempts)))
    return [shard for shard in shards if shard.attempts]


def _plan_attempts(
    event: RolloutsOpened, number: int, instance: JsonObject, seed: int, parent: Parent | None
) -> Iterator[AttemptPlan]:
    place = [event.run_id, event.generation, event.purpose, event.round, digest_of(instance), seed]
    for contender in event.releases:
        if contender.instances and number not in contender.instances:
            continue
        knobs = [contender.knobs] if contender.knobs else []
        yield AttemptPlan(
            attempt_id=digest_of([*place, contender.arm, contender.release.digest, *knobs])[:16],
            instance=instance,
            arm=contender.arm,
            release=contender.release,
            seed=derive_seed(seed, digest_of(instance)),
            parent=parent,
            knobs=contender.knobs,
        )


def pending_check(state: ShardState) -> Check | None:
    """What has to be evaluated next. Answers wait until no attempt tries any more, so that the final
    candidates of an instance meet in one block. None: all attempts have ended."""
    if any(is_trying(attempt) for attempt in state.attempts):
        return "public"
    return "final" if any(attempt.final is None for attempt in state.attempts) else None


def is_trying(attempt: AttemptState) -> bool:
    """Whether it waits for results of candidates that it tried."""
    waiting = bool(attempt.turns) and "try" in attempt.turns[-1].action and not attempt.turns[-1].results
    return waiting and attempt.answer is None and attempt.final is None


def gather(state: ShardState, check: Check, purpose: Purpose, config: RunConfig) -> CandidateBatch:
    """What waits for that check, in blocks by instance that hold the candidates of all arms."""
    instances: dict[str, JsonObject] = {}
    entries: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for attempt in state.attempts:
        key = digest_of(attempt.plan.instance)
        for content in _waiting(attempt, check):
            instances[key] = attempt.plan.instance
            entries[key].append((attempt.plan.attempt_id, content))
    blocks = (Block(instance=instances[key], entries=tuple(entries[key])) for key in instances)
    return CandidateBatch(
        task=config.run.task,
        check=check,
        fresh=purpose in GATE_PURPOSES,
        limits=config.attempt,
        blocks=tuple(blocks),
    )


def _waiting(attempt: AttemptState, check: Check) -> list[str]:
    if check == "public":
        return [tried["content"] for tried in attempt.turns[-1].action["try"]] if is_trying(attempt) else []
    return [attempt.answer.content] if attempt.answer and attempt.final is None else []


def attach(state: ShardState, batch: CandidateBatch, scores: BatchScores) -> ShardState:
    """The state with each evaluation at the attempt that waits for it."""
    results = _by_attempt(batch, scores)
    attempts = tuple(
        _attach_one(attempt, batch.check, results.get(attempt.plan.attempt_id, []))
        for attempt in state.attempts
    )
    return state.model_copy(update={"attempts": attempts})


def _by_attempt(batch: CandidateBatch, scores: BatchScores) -> dict[str, list[Evaluation]]:
    shape = [len(block.entries) for block in batch.blocks]
    if shape != [len(block) for block in scores.blocks]:
        raise ArtifactError(f"scores do not have the shape of their batch: {shape}")
    results: defaultdict[str, list[Evaluation]] = defaultdict(list)
    for block, evaluations in zip(batch.blocks, scores.blocks, strict=True):
        for (attempt_id, _), evaluation in zip(block.entries, evaluations, strict=True):
            results[attempt_id].append(evaluation)
    return results


def _attach_one(attempt: AttemptState, check: Check, results: list[Evaluation]) -> AttemptState:
    if not results:
        return attempt
    lost = [result for result in results if result.outcome == "lost"]
    if check == "final" or lost:  # no scaffold may continue on a missing score
        return attempt.model_copy(update={"final": (lost or results)[0]})
    turn = attempt.turns[-1].model_copy(update={"results": tuple(results)})
    return attempt.model_copy(update={"turns": (*attempt.turns[:-1], turn)})

"""What a weight update learns from: stored attempts turned into samples with a reward and a group. Light.

A reply that a tried candidate names earns that candidate's public score (the best one, if several name it);
any other reply earns the attempt's final score. All replies about one instance form a group, whatever parent
they started from. Replies without token ids (a closed API) can not be learned from and are skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.errors import TrainingError
from shared.messages.records import AttemptState, Sample, ShardState, digest_of
from shared.store.store import Store, get_record
from trainer_service.algorithms import find
from trainer_service.specs import TrainingSample


def read_samples(store: Store, shards: Iterable[str]) -> list[TrainingSample]:
    """All samples of the shards, in order. Raises TrainingError where none is left."""
    samples = [
        sample
        for digest in shards
        for attempt in get_record(store, digest, ShardState).attempts
        for sample in samples_of(attempt)
    ]
    if not samples:
        raise TrainingError(
            "no sample to learn from", "the endpoint must tell token ids, and attempts a score"
        )
    return samples


def teaching(samples: Sequence[TrainingSample], algorithm: str) -> tuple[list[TrainingSample], list[float]]:
    """The samples that get a weight other than zero, with it. Raises TrainingError where none does."""
    weights = find(algorithm).weigh([s.reward for s in samples], [s.group for s in samples])
    kept = [i for i, weight in enumerate(weights) if weight != 0.0]
    if not kept:
        raise TrainingError(
            f"nothing to learn: {algorithm} gives all {len(samples)} samples weight zero",
            "within every group the rewards are equal; draw more attempts an instance",
        )
    return [samples[i] for i in kept], [weights[i] for i in kept]


def samples_of(attempt: AttemptState) -> list[TrainingSample]:
    """The attempt's replies that have tokens and earned something."""
    group = digest_of(attempt.plan.instance)
    pairs = zip(attempt.replies, rewards_of(attempt), strict=True)
    return [
        TrainingSample(
            prompt_ids=reply.prompt_ids,
            token_ids=reply.token_ids,
            free=reply.free or (True,) * len(reply.token_ids),
            reward=reward,
            group=group,
        )
        for reply, reward in pairs
        if reward is not None and is_learnable(reply)
    ]


def rewards_of(attempt: AttemptState) -> list[float | None]:
    """One reward a reply; None where nothing that it led to was scored. Of an attempt that broke off only
    tried candidates count: its end is the fault of the scaffold or of the machine, not of the model."""
    earned: dict[int, float] = {}
    for candidate, result in attempt.tried:
        if result.outcome != "not_timed":  # right, but without a device there is no score
            for index in candidate.samples:
                earned[index] = max(result.score, earned.get(index, result.score))
    final = None if attempt.error else attempt.final
    rest = final.score if final is not None and final.outcome != "not_timed" else None
    return [earned.get(index, rest) for index in range(len(attempt.replies))]


def is_learnable(reply: Sample) -> bool:
    """Has token ids, and constrained decoding left at least one of them free."""
    whole = not reply.free or len(reply.free) == len(reply.token_ids)
    return bool(reply.prompt_ids and reply.token_ids) and whole and (not reply.free or any(reply.free))

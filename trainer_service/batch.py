"""The training batch of a weight update: stored attempts turned into graded samples. Light.

A reply that a tried candidate names earns that candidate's public score (the best one, if several name it);
any other reply earns the attempt's final score. Replies that started alike form a group: same instance, same
parent. Left out are replies without token ids (a closed API), and copies of the parent that was shown: what
they earn is the parent's merit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from shared.errors import TrainingError
from shared.messages.records import UNSCORED, AttemptState, Parent, Sample, Turn
from shared.store.shards import get_shard
from shared.store.store import Store
from trainer_service.algorithms import find
from trainer_service.algorithms.algorithm import Graded
from trainer_service.specs import TrainingSample


def read_samples(store: Store, shards: Iterable[str]) -> list[TrainingSample]:
    """All samples of the shards, in order. Raises TrainingError where none is left."""
    samples = [
        sample
        for digest in shards
        for attempt in get_shard(store, digest).attempts
        for sample in samples_of(attempt)
    ]
    if not samples:
        raise TrainingError(
            "no sample to learn from", "the endpoint must return token ids, and attempts a score"
        )
    return samples


def teaching(samples: Sequence[TrainingSample], algorithm: str) -> tuple[list[TrainingSample], list[float]]:
    """The samples to learn from, with their weights; pairs stand side by side. Raises TrainingError where
    there are none, or where a reward is no number."""
    broken = sum(not math.isfinite(sample.reward) for sample in samples)
    if broken:
        raise TrainingError(f"{broken} of {len(samples)} rewards are NaN or infinite", "check the verifier")
    graded = Graded(
        rewards=[sample.reward for sample in samples],
        groups=[sample.group for sample in samples],
        baselines=[sample.baseline for sample in samples],
    )
    taught = find(algorithm).teach(graded)
    if not taught:
        raise TrainingError(
            f"nothing to learn: {algorithm} gives all {len(samples)} samples weight zero",
            "within every group the rewards are equal; draw more attempts an instance",
        )
    return [samples[i] for i, _ in taught], [weight for _, weight in taught]


def within_limit(samples: Sequence[TrainingSample], limit: int) -> tuple[list[TrainingSample], int]:
    """The samples of at most `limit` tokens, and how many are longer. Raises TrainingError where all are."""
    kept = [sample for sample in samples if sample.length <= limit]
    if samples and not kept:
        shortest = min(sample.length for sample in samples)
        raise TrainingError(
            f"all {len(samples)} samples are longer than {limit} tokens (the shortest has {shortest})",
            "shorten the prompts, or raise training.max_tokens up to the model's context",
        )
    return kept, len(samples) - len(kept)


def samples_of(attempt: AttemptState) -> list[TrainingSample]:
    """The attempt's replies that have tokens and earned something of their own."""
    parent = attempt.plan.parent
    rows = zip(attempt.replies, rewards_of(attempt), temperatures_of(attempt), strict=True)
    return [
        TrainingSample(
            prompt_ids=reply.prompt_ids,
            token_ids=reply.token_ids,
            free=reply.free or (True,) * len(reply.token_ids),
            served=reply.logprobs,
            temperature=temperature,
            reward=reward,
            group=attempt.plan.group,
            baseline=parent.score if parent else None,
        )
        for index, (reply, reward, temperature) in enumerate(rows)
        if reward is not None and is_learnable(reply) and not is_copy(attempt, index, parent)
    ]


def rewards_of(attempt: AttemptState) -> list[float | None]:
    """One reward a reply; None where nothing that it led to was scored. Of an attempt that broke off only
    tried candidates count: its end is the fault of the scaffold or of the machine, not of the model."""
    earned: dict[int, float] = {}
    for candidate, result in attempt.tried:
        if result.outcome not in UNSCORED:
            for index in candidate.samples:
                earned[index] = max(result.score, earned.get(index, result.score))
    final = None if attempt.error else attempt.final
    rest = final.score if final is not None and final.outcome not in UNSCORED else None
    return [earned.get(index, rest) for index in range(len(attempt.replies))]


def temperatures_of(attempt: AttemptState) -> list[float]:
    """At which temperature each reply was drawn."""
    return [temperature for turn in attempt.turns for temperature in _temperatures(turn)]


def _temperatures(turn: Turn) -> list[float]:
    asked = [
        float(request.get("temperature", 1.0))
        for request in turn.action.get("ask", ())
        for _ in range(int(request.get("n", 1)))
    ]
    known = asked if len(asked) == len(turn.replies) else [1.0] * len(turn.replies)  # else some were refused
    return [temperature or 1.0 for temperature in known]  # a greedy reply is scored by the plain policy


def is_copy(attempt: AttemptState, index: int, parent: Parent | None) -> bool:
    """Whether the reply repeats its parent's, or leads to nothing but the parent's own candidate."""
    if parent is None:
        return False
    answer = [attempt.answer] if attempt.answer else []
    made = [c.content for c in (*(c for c, _ in attempt.tried), *answer) if index in c.samples]
    same_text = bool(parent.reply.strip()) and attempt.replies[index].text.strip() == parent.reply.strip()
    return same_text or (bool(made) and all(text.strip() == parent.content.strip() for text in made))


def is_learnable(reply: Sample) -> bool:
    """Has token ids, and constrained decoding left at least one of them free."""
    whole = not reply.free or len(reply.free) == len(reply.token_ids)
    return bool(reply.prompt_ids and reply.token_ids) and whole and (not reply.free or any(reply.free))

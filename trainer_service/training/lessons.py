"""Samples made ready to learn from, and cut into steps and micro-batches."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.distributed as dist

from trainer_service.specs import TrainingSample
from trainer_service.training import serving
from trainer_service.training.model import collate, read

Unit = tuple["Lesson", ...]  # what stays together in a micro-batch: one lesson, or a pair


@dataclass(frozen=True)
class Lesson:
    """A sample with its weight and the fixed policies' log-probabilities of its answer, token by token."""

    sample: TrainingSample
    weight: float
    behaviour: torch.Tensor  # the policy that sampled, at the sample's temperature
    base: torch.Tensor  # the model without any adapter
    correction: torch.Tensor  # serving.corrections
    prepared: bool = True  # False: the loss compares with no fixed policy, so none was read


def unprepared(samples: Sequence[TrainingSample], weights: Sequence[float]) -> list[Lesson]:
    """Lessons for a loss that compares with no fixed policy: no forward pass is spent on one."""
    lessons = []
    for sample, weight in zip(samples, weights, strict=True):
        nothing = torch.zeros(len(sample.token_ids))
        lessons.append(Lesson(sample, weight, nothing, nothing, nothing + 1, prepared=False))
    return lessons


def prepare(
    engine: Any, samples: Sequence[TrainingSample], weights: Sequence[float], micro_tokens: int, fresh: bool
) -> tuple[list[Lesson], serving.Gap]:
    """Read every answer under the sampling policy and the bare base, before the first step changes one.
    `fresh`: the adapter is zero still, so both are the same."""
    plain, behaviour = answer_logprobs(engine, samples, micro_tokens)
    base = behaviour
    if not fresh:
        with engine.module.disable_adapter():
            _, base = answer_logprobs(engine, samples, micro_tokens)
    differences = [serving.difference(*row) for row in zip(samples, plain, behaviour, strict=True)]
    gap = serving.measure(differences, samples)
    correction = serving.corrections(differences, [len(sample.token_ids) for sample in samples])
    rows = zip(samples, weights, behaviour, base, correction, strict=True)
    return [Lesson(*row) for row in rows], gap


@torch.no_grad()
def answer_logprobs(
    engine: Any, samples: Sequence[TrainingSample], micro_tokens: int
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """At temperature 1, and at the sample's own: one vector a sample, of its answer's length."""
    plain: dict[int, torch.Tensor] = {}
    tempered: dict[int, torch.Tensor] = {}
    for part in pack([(i,) for i in range(len(samples))], lambda i: samples[i].length, micro_tokens):
        chosen = [samples[i] for (i,) in part]
        batch = collate(chosen, engine.device)
        reading = read(engine, batch, chosen)
        plain |= zip([i for (i,) in part], batch.take(reading.plain_BK), strict=True)
        tempered |= zip([i for (i,) in part], batch.take(reading.logprob_BK), strict=True)
    everything = range(len(samples))
    return [plain[i] for i in everything], [tempered[i] for i in everything]


def pack(units: Sequence[tuple[Any, ...]], length: Any, most_tokens: int) -> list[list[tuple[Any, ...]]]:
    """Units of like length together, as many as fit into `most_tokens` with their padding; at least one."""
    parts: list[list[tuple[Any, ...]]] = []
    rows = width = 0
    for unit in sorted(units, key=lambda unit: max(map(length, unit))):
        longest = max(map(length, unit))
        if parts and (rows + len(unit)) * max(width, longest) <= most_tokens:
            parts[-1].append(unit)
            rows, width = rows + len(unit), max(width, longest)
        else:
            parts.append([unit])
            rows, width = len(unit), longest
    return parts


def step_batches(units: Sequence[Unit], batch: int, steps: int, seed: int) -> Iterator[list[Unit]]:
    """The units of each step: passes over all of them, each in another order, cut into batches."""
    order = random.Random(seed)
    waiting: list[Unit] = []
    for _ in range(steps):
        while len(waiting) < batch:
            waiting += order.sample(units, len(units))
        yield waiting[:batch]
        waiting = waiting[batch:]


def micro_batches(chosen: Sequence[Unit], most_tokens: int) -> list[list[Lesson]]:
    """This rank's micro-batches. Where their number does not divide by the ranks, the last ones get silent
    lessons, since every rank must make the same number of passes."""
    packed = pack(chosen, lambda lesson: lesson.sample.length, most_tokens)
    parts: list[list[Lesson]] = [[lesson for unit in part for lesson in unit] for part in packed]
    quiet = [silent(lesson) for lesson in min(chosen, key=lambda unit: unit[0].sample.length)]
    world = dist.get_world_size()
    parts += [quiet] * (-len(parts) % world)
    return parts[dist.get_rank() :: world]


def silent(lesson: Lesson) -> Lesson:
    """The same lesson with no free token: it adds nothing to any loss."""
    mute = lesson.sample.model_copy(update={"free": (False,) * len(lesson.sample.free)})
    return replace(lesson, sample=mute)

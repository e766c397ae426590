"""Samples made ready to learn from, and cut into steps and micro-batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from trainer_service.specs import TrainingSample
from trainer_service.training import serving
from trainer_service.training.engine import machine_busy
from trainer_service.training.reading.attention import is_packed
from trainer_service.training.reading.layout import lay_out
from trainer_service.training.reading.read import read

T = TypeVar("T")
Unit = tuple["Lesson", ...]  # what stays together in a micro-batch: one lesson, or a pair


@dataclass(frozen=True)
class Lesson:
    """A sample with its weight and the fixed policies' log-probabilities of its answer, token by token."""

    sample: TrainingSample
    weight: float
    behaviour: torch.Tensor  # the policy that sampled, at the sample's temperature
    base: torch.Tensor  # the model without any adapter
    correction: torch.Tensor  # serving.corrections
    based: bool = True  # False: the base was not read, so `base` is all zeros


def unprepared(samples: Sequence[TrainingSample], weights: Sequence[float]) -> list[Lesson]:
    """Lessons for a loss that compares with no fixed policy: no forward pass is spent on one."""
    lessons = []
    for sample, weight in zip(samples, weights, strict=True):
        nothing = torch.zeros(len(sample.token_ids))
        lessons.append(Lesson(sample, weight, nothing, nothing, nothing + 1, based=False))
    return lessons


def prepare(
    engine: Any,
    samples: Sequence[TrainingSample],
    weights: Sequence[float],
    micro_tokens: int,
    *,
    fresh: bool,
    with_base: bool,
) -> tuple[list[Lesson], serving.Gap]:
    """Read every answer under the sampling policy and, `with_base`, under the bare base, before the first
    step changes one. `fresh`: the adapter is zero still, so both are the same."""
    plain, behaviour = answer_logprobs(engine, samples, micro_tokens)
    base = behaviour
    if with_base and not fresh:
        with engine.module.disable_adapter():
            _, base = answer_logprobs(engine, samples, micro_tokens)
    differences = [serving.difference(*row) for row in zip(samples, plain, behaviour, strict=True)]
    gap = serving.measure(differences, samples)
    correction = serving.corrections(differences, [len(sample.token_ids) for sample in samples])
    rows = zip(samples, weights, behaviour, base, correction, strict=True)
    return [Lesson(*row, based=with_base or fresh) for row in rows], gap


@torch.no_grad()
def answer_logprobs(
    engine: Any, samples: Sequence[TrainingSample], micro_tokens: int
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """At temperature 1, and at the sample's own: one vector a sample, of its answer's length."""
    plain: dict[int, torch.Tensor] = {}
    tempered: dict[int, torch.Tensor] = {}
    packed = is_packed(engine.module)
    for part in pack([(i,) for i in range(len(samples))], lambda i: samples[i], micro_tokens, packed):
        chosen = [samples[i] for (i,) in part]
        batch = lay_out(chosen, engine.device, packed=packed)
        with machine_busy():
            reading = read(engine, batch, chosen)
        plain |= zip([i for (i,) in part], batch.take(reading.plain_BK), strict=True)
        tempered |= zip([i for (i,) in part], batch.take(reading.logprob_BK), strict=True)
    everything = range(len(samples))
    return [plain[i] for i in everything], [tempered[i] for i in everything]


def pack(
    units: Sequence[tuple[T, ...]],
    sample_of: Callable[[T], TrainingSample],
    most_tokens: int,
    shared: bool = True,
) -> list[list[tuple[T, ...]]]:
    """Units of like length together, those of one prompt side by side, as many as fit into `most_tokens`; at
    least one. `shared`: a prompt counts once and nothing is filled up."""
    longest: dict[tuple[int, ...], int] = {}
    for sample in (sample_of(one) for unit in units for one in unit):
        longest[sample.prompt_ids] = max(longest.get(sample.prompt_ids, 0), sample.length)

    def place(unit: tuple[T, ...]) -> tuple[int, tuple[int, ...], int]:
        samples = [sample_of(one) for one in unit]
        of_prompts = max(longest[sample.prompt_ids] for sample in samples)
        return of_prompts, samples[0].prompt_ids, max(sample.length for sample in samples)

    parts: list[list[tuple[T, ...]]] = []
    size = Size()
    for unit in sorted(units, key=place):
        samples = [sample_of(one) for one in unit]
        grown = size.with_more(samples, shared)
        if parts and grown.fits(most_tokens, shared):
            parts[-1].append(unit)
            size = grown
        else:
            parts.append([unit])
            size = Size().with_more(samples, shared)
    return parts


@dataclass(frozen=True)
class Size:
    """Of a micro-batch that is being filled."""

    rows: int = 0
    longest: int = 0
    tokens: int = 0  # where prompts are shared
    prompts: frozenset[tuple[int, ...]] = frozenset()

    def with_more(self, samples: Sequence[TrainingSample], shared: bool) -> Size:
        new = {sample.prompt_ids for sample in samples} - self.prompts if shared else set()
        return Size(
            self.rows + len(samples),
            max(self.longest, *(sample.length for sample in samples)),
            self.tokens + sum(map(len, new)) + sum(len(sample.token_ids) for sample in samples),
            self.prompts | new,
        )

    def fits(self, most_tokens: int, shared: bool) -> bool:
        """Attention within a packed row fills its segments up: that is held to twice the tokens."""
        filled = self.rows * self.longest
        if not shared:
            return filled <= most_tokens
        segments = (len(self.prompts) / self.rows) * filled
        return self.tokens <= most_tokens and segments <= 2 * most_tokens


def step_batches(units: Sequence[Unit], batch: int, steps: int, seed: int) -> Iterator[list[Unit]]:
    """The units of each step: passes over all of them, each in another order, cut into batches. Samples of
    one prompt stay together by up to a quarter of a batch, so that it is read once for them all and a step
    still has several prompts."""
    order = random.Random(seed)
    waiting: list[Unit] = []
    for _ in range(steps):
        while len(waiting) < batch:
            shuffled = order.sample(units, len(units))
            clumps = clumped(shuffled, max(1, batch // 4))
            waiting += [unit for clump in order.sample(clumps, len(clumps)) for unit in clump]
        yield waiting[:batch]
        waiting = waiting[batch:]


def clumped(units: Sequence[Unit], most: int) -> list[list[Unit]]:
    """At most `most` units of one prompt together."""
    by_prompt: dict[tuple[int, ...], list[Unit]] = {}
    for unit in units:
        by_prompt.setdefault(unit[0].sample.prompt_ids, []).append(unit)
    return [alike[i : i + most] for alike in by_prompt.values() for i in range(0, len(alike), most)]


def micro_batches(chosen: Sequence[Unit], most_tokens: int, shared: bool) -> list[list[Lesson]]:
    """This rank's micro-batches. Where their number does not divide by the ranks, the last ones get silent
    lessons, since every rank must make the same number of passes."""
    parts: list[list[Lesson]] = [
        [lesson for unit in part for lesson in unit]
        for part in pack(chosen, lambda lesson: lesson.sample, most_tokens, shared)
    ]
    quiet = [silent(lesson) for lesson in min(chosen, key=lambda unit: unit[0].sample.length)]
    world = dist.get_world_size()
    parts += [quiet] * (-len(parts) % world)
    return parts[dist.get_rank() :: world]


def silent(lesson: Lesson) -> Lesson:
    """The same lesson with no free token: it adds nothing to any loss."""
    mute = lesson.sample.model_copy(update={"free": (False,) * len(lesson.sample.free)})
    return replace(lesson, sample=mute)

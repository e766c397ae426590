"""One optimizer step: forward and backward over this rank's micro-batches, and what is watched of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from trainer_service.algorithms.algorithm import Loss
from trainer_service.training.engine import machine_busy, step_with_norm, sum_over_ranks
from trainer_service.training.lessons import Lesson, Unit, micro_batches
from trainer_service.training.loss import Terms, drift, k3, total_loss
from trainer_service.training.reading.attention import is_packed
from trainer_service.training.reading.layout import lay_out
from trainer_service.training.reading.read import read
from trainer_service.training.values import read_values

WATCHED = ("loss", "kl", "entropy", "reward", "length", "norm")


@dataclass(frozen=True)
class Objective:
    """What all steps of an update share."""

    loss: Loss
    kl_weight: float  # in units of the advantages
    mean_length: float  # free tokens of a sample, over the whole update
    micro_tokens: int
    loss_scale: float


def take_step(engine: Any, chosen: Sequence[Unit], objective: Objective) -> dict[str, float]:
    """One optimizer step over all ranks' parts; returns what is WATCHED, and the mean log(policy / base) of
    the sampled tokens (`drift`), the same on every rank."""
    parts = micro_batches(chosen, objective.micro_tokens, is_packed(engine.module))
    divisor = DIVISORS[objective.loss](chosen, objective.mean_length)
    # DeepSpeed averages gradients over the ranks; the divisor counts the samples of all of them.
    factor = dist.get_world_size() * objective.loss_scale / divisor
    sums = torch.zeros(4, device=engine.device)
    for number, part in enumerate(parts):
        engine.set_gradient_accumulation_boundary(number == len(parts) - 1)
        with machine_busy():
            terms, entropy_BK = read_terms(engine, part, objective.loss)
            loss = total_loss(objective.loss, terms, objective.kl_weight)
            engine.backward(loss * factor, scale_wrt_gas=False)
        watched = (masked(k3(terms), terms), masked(drift(terms), terms), masked(entropy_BK, terms))
        sums += torch.stack([loss.detach(), *watched])
    with machine_busy():
        norm = step_with_norm(engine) / objective.loss_scale
    loss_sum, kl_sum, drift_sum, entropy_sum = sum_over_ranks(sums).tolist()
    lessons = [lesson for unit in chosen for lesson in unit]
    free_tokens = sum(map(free_count, lessons))
    far = {"kl": kl_sum / free_tokens, "drift": drift_sum / free_tokens} if lessons[0].based else {}
    return far | {
        "loss": loss_sum / divisor,
        "entropy": entropy_sum / free_tokens,
        "reward": sum(lesson.sample.reward for lesson in lessons) / len(lessons),
        "length": free_tokens / len(lessons),
        "norm": norm,
    }


def read_terms(engine: Any, part: list[Lesson], loss: Loss) -> tuple[Terms, torch.Tensor]:
    """The loss's terms of one micro-batch, and the policy's entropy (axes BK)."""
    samples = [lesson.sample for lesson in part]
    batch = lay_out(samples, engine.device, packed=is_packed(engine.module))
    reading = read(engine, batch, samples, hidden=loss == "proximal")
    value_BK = None
    if reading.hidden_NH is not None:
        value_BK = batch.spread(read_values(engine.module, reading.hidden_NH))
    terms = Terms(
        policy_BK=reading.logprob_BK,
        behaviour_BK=batch.place([lesson.behaviour for lesson in part]),
        base_BK=batch.place([lesson.base for lesson in part]),
        free_BK=batch.free_BK,
        weight_B=torch.tensor([lesson.weight for lesson in part], device=engine.device),
        correction_BK=batch.place([lesson.correction for lesson in part]),
        value_BK=value_BK,
    )
    return terms, reading.entropy_BK


def masked(values_BK: torch.Tensor, terms: Terms) -> torch.Tensor:
    return torch.where(terms.free_BK > 0, values_BK.detach(), 0.0).sum()


def free_count(lesson: Lesson) -> int:
    return sum(lesson.sample.free)


def by_tokens(chosen: Sequence[Unit], mean_length: float) -> float:
    """Every token of the step counts alike."""
    return float(sum(free_count(lesson) for unit in chosen for lesson in unit))


def by_samples(chosen: Sequence[Unit], mean_length: float) -> float:
    """Every sample's tokens count by one constant length (Dr. GRPO): neither the step's nor the sample's own
    length changes what a token is worth."""
    return len(chosen) * mean_length


def by_pairs(chosen: Sequence[Unit], mean_length: float) -> float:
    return float(len(chosen))


DIVISORS: dict[Loss, Callable[[Sequence[Unit], float], float]] = {
    "cloning": by_tokens,
    "truncated": by_samples,
    "clipped": by_samples,
    "proximal": by_samples,
    "preference": by_pairs,
}

"""The gap between the serving engine and the trainer: the same policy and tokens, other kernels, another
precision, now and then another adapter. It is measured on every update, and corrected or refused.

A token that the engine drew with probability q and the trainer would draw with p counts p / q times, at most
TRUNCATE (truncated importance sampling); where the two disagree more than MASK-fold it does not count at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from shared.errors import TrainingError
from trainer_service.specs import TrainingSample

TRUNCATE = 2.0
MASK = 8.0


@dataclass(frozen=True)
class Gap:
    """Over the free tokens whose log-probability the engine reported, in nats."""

    tokens: int = 0
    mean: float = 0.0  # of the absolute difference
    largest: float = 0.0
    truncated: float = 0.0  # share of these tokens
    masked: float = 0.0  # share of these tokens

    def metrics(self) -> dict[str, float]:
        return {
            "serving_gap": self.mean,
            "serving_gap_max": self.largest,
            "serving_tokens": float(self.tokens),
            "serving_truncated": self.truncated,
            "serving_masked": self.masked,
        }


def difference(sample: TrainingSample, plain: torch.Tensor, tempered: torch.Tensor) -> torch.Tensor | None:
    """log p - log q of each token of the answer; None where the engine reported none. Engines report log q at
    temperature 1 (vLLM, this one) or at the temperature sampled at (SGLang): whichever is nearer is meant."""
    if len(sample.served) != len(sample.token_ids):
        return None
    served = torch.tensor(sample.served, device=plain.device)
    free = torch.tensor(sample.free, device=plain.device)
    gaps = [(ours - served)[free] for ours in (plain, tempered)]
    best = min(range(2), key=lambda i: float(gaps[i].abs().sum()))
    return torch.where(free, (plain, tempered)[best] - served, 0.0)


def corrections(differences: Sequence[torch.Tensor | None], lengths: Sequence[int]) -> list[torch.Tensor]:
    """How much each token counts: min(p / q, TRUNCATE), 0 beyond MASK either way; 1 where q is unknown."""
    return [
        torch.ones(length)
        if log_ratio is None
        else log_ratio.exp().clamp(max=TRUNCATE) * (log_ratio.exp() < MASK) * ((-log_ratio).exp() < MASK)
        for log_ratio, length in zip(differences, lengths, strict=True)
    ]


def measure(differences: Sequence[torch.Tensor | None], samples: Sequence[TrainingSample]) -> Gap:
    known = [
        log_ratio[torch.tensor(sample.free, device=log_ratio.device)]
        for log_ratio, sample in zip(differences, samples, strict=True)
        if log_ratio is not None
    ]
    if not known:
        return Gap()
    size = torch.cat(known).abs().nan_to_num(nan=float("inf"))
    ratio = torch.cat(known).exp()
    return Gap(
        tokens=size.numel(),
        mean=float(size.mean()),
        largest=float(size.max()),
        truncated=float((ratio > TRUNCATE).float().mean()),
        masked=float(((ratio >= MASK) | (ratio <= 1 / MASK)).float().mean()),
    )


def check(gap: Gap, bound: float) -> None:
    """Raises TrainingError where the samples are not those of the policy that is trained."""
    if not gap.mean <= bound:
        raise TrainingError(
            f"the serving engine's log-probabilities are {gap.mean:.3g} nats a token from the trainer's "
            f"(at most {bound:g}; the largest difference is {gap.largest:.3g})",
            "serve the release's own base and adapter, in the trainer's precision; or raise training.max_gap",
        )

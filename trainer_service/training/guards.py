"""Guards of a training: it refuses steps with broken gradients, and adapters that are broken, empty or
absurdly large.

DeepSpeed itself skips such a step at ZeRO stages 1 to 3; at stage 0 it would apply it, hence CarefulAdamW. A
large but finite gradient is clipped (engine.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from shared.errors import TrainingError

MAX_BAD_STEPS = 3  # in one update; every step sees other samples, so one may well be unlucky
SAMPLED = frozenset({"truncated", "clipped", "proximal"})  # losses that stay near the policy that sampled
MOST_NATS = 50.0  # more is as bad, and no overflow
MAX_RELATIVE_NORM = 5.0  # of a LoRA product against its base weight; a healthy update adds about 0.2


class CarefulAdamW(torch.optim.AdamW):
    """AdamW that leaves weights and moments as they are when a gradient is not finite."""

    refused = False

    def step(self, closure: Any = None) -> Any:
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        self.refused = not all(bool(gradient.isfinite().all()) for gradient in gradients)
        return None if self.refused else super().step(closure)


class BadSteps:
    """Counts steps that were not applied; raises TrainingError when there are too many."""

    def __init__(self) -> None:
        self.count = 0

    def note(self, step: int, loss: float, applied: bool) -> None:
        if applied and math.isfinite(loss):
            return
        self.count += 1
        if self.count >= MAX_BAD_STEPS:
            raise TrainingError(
                f"{self.count} steps gave no finite gradient, the last at step {step} (loss {loss})",
                "lower training.learning_rate",
            )


def has_diverged(loss: str, taken: Sequence[Mapping[str, float]], bound: float) -> bool:
    """Whether the last step met a policy further from the base than may be published: its samples say nothing
    of it any more, and further steps ruin it. Measured by k3 of the tokens' mean: what they all have lost
    counts, and no single token that the policy has rightly given up."""
    drift = taken[-1].get("drift", 0.0) if loss in SAMPLED and taken else 0.0
    return math.exp(min(-drift, MOST_NATS)) + drift - 1 > bound


def check_divergence(kl: float, bound: float) -> None:
    """Raises TrainingError where the policy is too far from the base to be published."""
    if not kl <= bound:
        raise TrainingError(
            f"the policy diverged: {kl:.3g} nats a token from the base (at most {bound:g})",
            "lower training.learning_rate or training.steps, or raise training.max_kl",
        )


def check_adapter(
    adapter: Mapping[str, torch.Tensor], base: Mapping[str, torch.Tensor], scale: float
) -> float:
    """Raises TrainingError unless every tensor is finite, some product is not zero, and none is absurd.

    `adapter` is a PEFT state dict, `base` the weights that it is added to; returns the largest relative norm.
    """
    for name, tensor in adapter.items():
        if not tensor.isfinite().all():
            raise TrainingError(f"the adapter's {name} holds NaN or infinity", "lower training.learning_rate")
    norms = {name: relative_norm(adapter, base, name, scale) for name in adapter if ".lora_A." in name}
    if not any(norms.values()):
        raise TrainingError("the adapter is zero: no step changed it")
    worst = max(norms, key=lambda name: norms[name])
    if norms[worst] > MAX_RELATIVE_NORM:
        raise TrainingError(
            f"the adapter explodes: {worst} is {norms[worst]:.1f} times its base weight "
            f"(at most {MAX_RELATIVE_NORM})",
            "lower training.learning_rate or training.steps",
        )
    return norms[worst]


def relative_norm(
    adapter: Mapping[str, torch.Tensor], base: Mapping[str, torch.Tensor], down: str, scale: float
) -> float:
    """Norm of scale * B A over the norm of the weight that it is added to."""
    product = adapter[down.replace(".lora_A.", ".lora_B.")].float() @ adapter[down].float()
    weight = base[down.removeprefix("base_model.model.").split(".lora_A.")[0] + ".weight"].float()
    return float(scale * product.norm() / (weight.norm() + 1e-12))

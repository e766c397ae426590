"""What a weight update minimises, on free tokens only. Axes: B samples, K kept positions.

Log-probabilities are the model's own, over the whole vocabulary: where constrained decoding left a token no
choice it is masked out here, and the policy is not taught to say what it could not have said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

# A token's ratio to the behaviour policy stops to count below 1 - CLIP_LOW and above 1 + CLIP_HIGH.
# Upwards there is room: a good token of probability 0.2 may become certain. PPO's 0.2 both ways learned about
# half as fast on a toy (three seeds, three updates of eight steps: 0.24 -> 0.39 against 0.24 -> 0.58).
CLIP_LOW, CLIP_HIGH = 0.2, 4.0


@dataclass(frozen=True)
class Terms:
    """What an objective may use. `behaviour` and `base` are fixed, computed before the first step."""

    policy_BK: torch.Tensor
    behaviour_BK: torch.Tensor  # the policy that sampled
    base_BK: torch.Tensor  # the model without any adapter
    free_BK: torch.Tensor
    weight_B: torch.Tensor


def cloning(terms: Terms) -> torch.Tensor:
    """Cross-entropy, weighted by sample: axes BK."""
    return -terms.weight_B.unsqueeze(-1) * terms.policy_BK


def clipped(terms: Terms) -> torch.Tensor:
    """Policy gradient with importance ratios, clipped as in PPO but wider upwards: axes BK."""
    advantage_B1 = terms.weight_B.unsqueeze(-1)
    ratio_BK = (terms.policy_BK - terms.behaviour_BK).exp()
    near_BK = ratio_BK.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH)
    return -torch.minimum(ratio_BK * advantage_B1, near_BK * advantage_B1)


OBJECTIVES: dict[str, Callable[[Terms], torch.Tensor]] = {"cloning": cloning, "clipped": clipped}


def kl_to_base(terms: Terms) -> torch.Tensor:
    """Schulman's k3 estimate of KL(policy || base): never negative, zero where both agree. Axes BK."""
    difference_BK = terms.base_BK - terms.policy_BK
    return difference_BK.exp() - difference_BK - 1


def total_loss(objective: str, terms: Terms, kl_weight: float) -> torch.Tensor:
    """Sum over free tokens; the caller divides by how many the whole step has."""
    per_token_BK = OBJECTIVES[objective](terms) + kl_weight * kl_to_base(terms)
    return (per_token_BK * terms.free_BK).sum()

"""The losses of a weight update, on free tokens only. Axes: B samples, K kept positions.

Log-probabilities are those of the policy at the temperature that it is sampled at, over the whole vocabulary:
where constrained decoding left a token no choice it is masked out here, and the policy is not trained on a
choice that it did not make. docs/weights.md explains why the divergence from the base is a penalty in the
advantage and no term of the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid

from trainer_service.training.values import advantages_and_returns

# A token's ratio to the behaviour policy stops to count below 1 - CLIP_LOW and above 1 + CLIP_HIGH.
# Upwards there is room: a good token of probability 0.2 may become certain. PPO's 0.2 both ways learned about
# half as fast on a toy (three seeds, three updates of eight steps: 0.24 -> 0.39 against 0.24 -> 0.58).
CLIP_LOW, CLIP_HIGH = 0.2, 4.0
VALUE_WEIGHT = 0.5  # of the value head's squared error, in PPO
DPO_BETA = 0.1  # how strongly a preference is held to the reference


@dataclass(frozen=True)
class Terms:
    """What a loss may use. `behaviour` and `base` are fixed, computed before the first step."""

    policy_BK: torch.Tensor
    behaviour_BK: torch.Tensor  # the policy that sampled
    base_BK: torch.Tensor  # the model without any adapter
    free_BK: torch.Tensor  # 1.0 at free tokens of the answers
    weight_B: torch.Tensor
    correction_BK: torch.Tensor  # importance of a token as served against as trained (serving.py); 1: none
    value_BK: torch.Tensor | None = None  # PPO's value head


def cloning(terms: Terms, kl_weight: float) -> torch.Tensor:
    """Cross-entropy, weighted by sample: axes BK."""
    return -terms.weight_B.unsqueeze(-1) * terms.policy_BK


def truncated(terms: Terms, kl_weight: float) -> torch.Tensor:
    """REINFORCE: the ratio weighs the score function and is cut off above (as CISPO, arXiv 2506.13585)."""
    ratio_BK = (terms.policy_BK - terms.behaviour_BK).exp().clamp(max=1 + CLIP_HIGH).detach()
    return -terms.correction_BK * ratio_BK * penalised(terms, kl_weight) * terms.policy_BK


def clipped(terms: Terms, kl_weight: float) -> torch.Tensor:
    """PPO's surrogate (arXiv 1707.06347, equation 7), clipped wider upwards: axes BK."""
    return terms.correction_BK * surrogate(terms, penalised(terms, kl_weight))


def proximal(terms: Terms, kl_weight: float) -> torch.Tensor:
    """PPO with generalised advantage estimation, and the value head's squared error: axes BK."""
    assert terms.value_BK is not None, "PPO reads a value head"
    advantage_BK, return_BK = advantages_and_returns(
        terms.weight_B, -kl_weight * drift(terms), terms.value_BK.detach(), terms.free_BK
    )
    error_BK = (terms.value_BK - return_BK).square()
    return terms.correction_BK * surrogate(terms, advantage_BK) + VALUE_WEIGHT * error_BK


def preference(terms: Terms, kl_weight: float) -> torch.Tensor:
    """DPO (arXiv 2305.18290, equation 7): -log sigmoid(beta * (margin of the better - of the worse)). Better
    and worse samples alternate along B; a pair's loss stands at the better one's first position."""
    margin_B = ((terms.policy_BK - terms.behaviour_BK) * terms.free_BK).sum(-1)
    loss_BK = torch.zeros_like(terms.policy_BK)
    loss_BK[0::2, 0] = -logsigmoid(DPO_BETA * (margin_B[0::2] - margin_B[1::2]))
    return loss_BK


def drift(terms: Terms) -> torch.Tensor:
    """log policy - log base of each token, without a gradient: its mean is the divergence from the base."""
    return (terms.policy_BK - terms.base_BK).detach()


def penalised(terms: Terms, kl_weight: float) -> torch.Tensor:
    """TTT-Discover's advantage, A - lambda log(pi / pi_0), token by token: axes BK."""
    return terms.weight_B.unsqueeze(-1) - kl_weight * drift(terms)


def surrogate(terms: Terms, advantage_BK: torch.Tensor) -> torch.Tensor:
    """The clipped surrogate, as a loss."""
    ratio_BK = (terms.policy_BK - terms.behaviour_BK).exp()
    near_BK = ratio_BK.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH)
    return -torch.minimum(ratio_BK * advantage_BK, near_BK * advantage_BK)


LOSSES: dict[str, Callable[[Terms, float], torch.Tensor]] = {
    "cloning": cloning,
    "truncated": truncated,
    "clipped": clipped,
    "proximal": proximal,
    "preference": preference,
}
WHOLE = frozenset({"preference"})  # losses of a whole sample, which are masked already


def total_loss(loss: str, terms: Terms, kl_weight: float) -> torch.Tensor:
    """Sum over free tokens (or pairs); the caller divides by how many count in the whole step."""
    loss_BK = LOSSES[loss](terms, kl_weight)
    return loss_BK.sum() if loss in WHOLE else torch.where(terms.free_BK > 0, loss_BK, 0.0).sum()


def k3(terms: Terms) -> torch.Tensor:
    """Schulman's estimate of KL(policy || base): never negative. The tokens come from the policy that
    sampled, so each counts by its ratio; else one that the policy has given up since would outweigh all
    others. Only watched, never minimised. Axes BK."""
    ratio_BK = (terms.policy_BK - terms.behaviour_BK).detach().exp()
    return (terms.base_BK - terms.behaviour_BK).exp() - ratio_BK * (1 - drift(terms))

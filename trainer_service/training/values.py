"""PPO's value head: what reward is still expected, read from the model's last hidden state before each token.

It sits beside the adapter while training and never in what is published.
"""

from __future__ import annotations

from typing import Any

import torch

HEAD = "value_head"
SHORTEST_LAMBDA, LENGTH_SHARE = 0.95, 0.05


def add_value_head(policy: Any, hidden: int) -> None:
    """A linear head that predicts zero at first, which is the mean of centred rewards."""
    head = torch.nn.Linear(hidden, 1)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    policy.add_module(HEAD, head)


def read_values(policy: Any, hidden_NH: torch.Tensor) -> torch.Tensor:
    """Axis N. The hidden states are cut from the graph: the value loss does not reach the policy."""
    values_N: torch.Tensor = getattr(policy, HEAD)(hidden_NH.detach().float()).squeeze(-1)
    return values_N


def advantages_and_returns(
    reward_B: torch.Tensor, token_reward_BK: torch.Tensor, value_BK: torch.Tensor, free_BK: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised advantage estimation (arXiv 1506.02438, equation 16) without discount, over free tokens:
    delta_t = r_t + V_{t+1} - V_t, A_t = sum_l lambda^l delta_{t+l}. `reward_B` comes with the last one.

    Returns are Monte Carlo sums. Lambda grows with the answer's length, 1 - 1 / (0.05 l) but at least 0.95
    (VAPO, arXiv 2504.05118): at 0.95 the reward of a long answer would never reach its first tokens.
    """
    length_B = free_BK.sum(-1)
    lambda_B = (1 - 1 / (LENGTH_SHARE * length_B).clamp(min=1e-6)).clamp(min=SHORTEST_LAMBDA)
    advantage_BK, return_BK = torch.zeros_like(value_BK), torch.zeros_like(value_BK)
    next_value_B, ahead_B, togo_B = (torch.zeros_like(reward_B) for _ in range(3))
    last_B = free_BK.cumsum(-1).argmax(-1)  # the first position at which all free tokens are counted
    for t in reversed(range(value_BK.shape[1])):
        is_free_B = free_BK[:, t] > 0
        reward_t_B = token_reward_BK[:, t] + torch.where(last_B == t, reward_B, 0.0)
        here_B = reward_t_B + next_value_B - value_BK[:, t] + lambda_B * ahead_B
        ahead_B = torch.where(is_free_B, here_B, ahead_B)
        togo_B = torch.where(is_free_B, togo_B + reward_t_B, togo_B)
        next_value_B = torch.where(is_free_B, value_BK[:, t], next_value_B)
        advantage_BK[:, t], return_BK[:, t] = ahead_B, togo_B
    return advantage_BK, return_BK

"""From logits to tokens, all rows of a batch at once. Randomness comes in as uniforms, drawn per row from
(seed, index) and used by token position, so that a row's answer does not depend on what shares its batch.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

UINT64 = (1 << 64) - 1  # seeds may be negative on the wire


def uniforms(seed: int, index: int, count: int) -> NDArray[np.float64]:
    """`count` numbers in [0, 1) for row `index` of a request: one for each token position."""
    return np.random.default_rng([seed & UINT64, index]).random(count)


def sample(
    logits_BV: torch.Tensor,
    allowed_BV: torch.Tensor | None,
    temperature_B: torch.Tensor,
    top_p_B: torch.Tensor,
    uniform_B: torch.Tensor,
) -> torch.Tensor:
    """One token for each row by inverting the cumulative distribution; the likeliest at temperature 0."""
    scores_BV = logits_BV.double()
    if allowed_BV is not None:
        scores_BV = scores_BV.masked_fill(~allowed_BV, -torch.inf)
    greedy_B = scores_BV.argmax(dim=1)
    hot_B = temperature_B > 0
    if not hot_B.any():
        return greedy_B
    probs_BV = torch.softmax(scores_BV / torch.where(hot_B, temperature_B, 1.0)[:, None], dim=1)
    if (top_p_B < 1).any():
        probs_BV = _nucleus(probs_BV, top_p_B)
    cumulative_BV = probs_BV.cumsum(dim=1)
    total_B = cumulative_BV[:, -1]
    # Below the total even after rounding, so that the token found always has a probability above zero.
    target_B = torch.minimum(uniform_B * total_B, torch.nextafter(total_B, torch.zeros_like(total_B)))
    drawn_B = torch.searchsorted(cumulative_BV, target_B[:, None], right=True)[:, 0]
    return torch.where(hot_B, drawn_B, greedy_B)


def logprob_of(logits_NV: torch.Tensor, token_N: torch.Tensor) -> torch.Tensor:
    """log softmax at temperature 1 over the full vocabulary, of one token each."""
    logits_NV = logits_NV.float()
    return logits_NV.gather(1, token_N[:, None])[:, 0] - logits_NV.logsumexp(dim=1)


def _nucleus(probs_BV: torch.Tensor, top_p_B: torch.Tensor) -> torch.Tensor:
    """Keep the likeliest tokens until their probability reaches top_p; always at least one."""
    sorted_BV, order_BV = probs_BV.sort(dim=1, descending=True, stable=True)
    before_BV = sorted_BV.cumsum(dim=1) - sorted_BV
    kept_BV = torch.where(before_BV < top_p_B[:, None], sorted_BV, 0.0)
    return torch.zeros_like(probs_BV).scatter(1, order_BV, kept_BV)

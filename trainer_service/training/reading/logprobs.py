"""Log-probabilities of chosen tokens and the entropy of the choice, in as few passes over the vocabulary as
it takes: for small models with large vocabularies that is a good part of a step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable


def chosen_logprobs(logits_NV: torch.Tensor, target_N: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each target, in nats, with a gradient; and the entropy of its distribution, without one."""
    if torch.is_grad_enabled():
        return _Chosen.apply(logits_NV, target_N.unsqueeze(-1))  # type: ignore[no-any-return,no-untyped-call]
    logprob_N, entropy_N, _ = _read(logits_NV, target_N.unsqueeze(-1))
    return logprob_N, entropy_N


def _read(
    logits_NV: torch.Tensor, target_N1: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Log-probability, entropy, and all probabilities."""
    logprob_NV = logits_NV.log_softmax(-1)
    logprob_N1 = logprob_NV.gather(-1, target_N1)
    normaliser_N1 = logits_NV.gather(-1, target_N1) - logprob_N1
    probability_NV = logprob_NV.exp_()  # in its place: no third matrix of the vocabulary's width
    mean_N = torch.linalg.vecdot(probability_NV, logits_NV)
    return logprob_N1.squeeze(-1), normaliser_N1.squeeze(-1) - mean_N, probability_NV


class _Chosen(torch.autograd.Function):
    """Keeps the probabilities: the gradient of log p(target) is one at the target minus all of them."""

    @staticmethod
    def forward(ctx: Any, logits_NV: torch.Tensor, target_N1: torch.Tensor) -> Any:
        logprob_N, entropy_N, probability_NV = _read(logits_NV, target_N1)
        ctx.save_for_backward(probability_NV, target_N1)
        ctx.mark_non_differentiable(entropy_N)
        return logprob_N, entropy_N

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient_N: torch.Tensor, _: torch.Tensor) -> Any:
        probability_NV, target_N1 = ctx.saved_tensors
        gradient_NV = probability_NV * -gradient_N.unsqueeze(-1)
        gradient_NV.scatter_add_(-1, target_N1, gradient_N.unsqueeze(-1))
        return gradient_NV, None

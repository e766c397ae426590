"""LoRA projections in one matrix product: x (W + s B A)^T instead of x W^T + s (x A^T) B^T, which saves small
products and passes over the activations. In float32 alone: in half precision W + s B A would round small
steps away, and there PEFT's own way stays.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear


def join_projections(policy: Any) -> None:
    """Let the policy's LoRA layers on plain float32 projections compute so. Not where ZeRO-3 shards W.

    For any number of tokens: ZeRO-2 adds the ranks' gradients up in the order in which they arrive, so that
    A and B must come in one order on every rank, however short its micro-batch is."""
    for layer in policy.modules():
        if isinstance(layer, Linear) and is_plain(layer):
            layer.forward = _joined(layer, layer.forward)


def is_plain(layer: Any) -> bool:
    (name,) = layer.lora_A
    base = layer.base_layer
    without_dropout = isinstance(layer.lora_dropout[name], torch.nn.Identity)
    projection = type(base) is torch.nn.Linear and base.weight.dtype == torch.float32
    return projection and without_dropout and not layer.lora_variant and not layer.lora_bias.get(name)


def _joined(layer: Any, otherwise: Any) -> Any:
    (name,) = layer.lora_A
    down, up, scale = layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name]
    base = layer.base_layer

    def forward(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if layer.disable_adapters or layer.merged or args or kwargs:
            return otherwise(x, *args, **kwargs)  # type: ignore[no-any-return]
        return _Joined.apply(x, base.weight, base.bias, down, up, scale)  # type: ignore[no-any-return,no-untyped-call]

    return forward


class _Joined(torch.autograd.Function):
    """Axes: x of any shape with I features; W OI, A RI, B OR. W and its bias are frozen."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight_OI: torch.Tensor,
        bias_O: torch.Tensor | None,
        down_RI: torch.Tensor,
        up_OR: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight_OI, down_RI, up_OR)
        ctx.scale = scale
        return linear(x, torch.addmm(weight_OI, up_OR, down_RI, alpha=scale), bias_O)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:
        x, weight_OI, down_RI, up_OR = ctx.saved_tensors
        gradient_TO, x_TI = gradient.reshape(-1, gradient.shape[-1]), x.reshape(-1, x.shape[-1])
        through_TR = gradient_TO @ up_OR
        for_down_RI = (through_TR.T @ x_TI) * ctx.scale
        for_up_OR = (gradient_TO.T @ (x_TI @ down_RI.T)) * ctx.scale
        for_x = None
        if ctx.needs_input_grad[0]:
            joined_OI = torch.addmm(weight_OI, up_OR, down_RI, alpha=ctx.scale)
            for_x = (gradient_TO @ joined_OI).view_as(x)
        return for_x, None, None, for_down_RI, for_up_OR, None

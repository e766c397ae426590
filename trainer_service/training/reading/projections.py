"""LoRA projections in fewer and faster products than PEFT's x W^T + s (x A^T) B^T.

In float32 they are one, x (W + s B A)^T, which saves small products and passes over the activations. Where
a CPU multiplies bfloat16 faster, the products with W, which is frozen, are taken in bfloat16, and the
adapter's stay in float32: rounded with W, small steps would vanish.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora import Linear
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear


def join_projections(policy: Any, products: torch.dtype = torch.float32) -> None:
    """Let the policy's LoRA layers on plain float32 projections compute so. Not where ZeRO-3 shards W.

    For any number of tokens: ZeRO-2 adds the ranks' gradients up in the order in which they arrive, so that
    A and B must come in one order on every rank, however short its micro-batch is."""
    for layer in policy.modules():
        if isinstance(layer, Linear) and is_plain(layer):
            layer.forward = _ours(layer, layer.forward, products)


@contextmanager
def exact_projections(policy: Any) -> Iterator[None]:
    """PEFT's own products, in the base's precision."""
    ours = {layer: vars(layer).pop("forward") for layer in policy.modules() if "forward" in vars(layer)}
    try:
        yield
    finally:
        for layer, forward in ours.items():
            layer.forward = forward


def is_plain(layer: Any) -> bool:
    (name,) = layer.lora_A
    base = layer.base_layer
    without_dropout = isinstance(layer.lora_dropout[name], torch.nn.Identity)
    projection = type(base) is torch.nn.Linear and base.weight.dtype == torch.float32
    return projection and without_dropout and not layer.lora_variant and not layer.lora_bias.get(name)


def _ours(layer: Any, otherwise: Any, products: torch.dtype) -> Any:
    (name,) = layer.lora_A
    down, up, scale = layer.lora_A[name].weight, layer.lora_B[name].weight, layer.scaling[name]
    base = layer.base_layer
    joined = products == torch.float32
    frozen = base.weight if joined else base.weight.detach().to(products)

    def forward(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if layer.disable_adapters and not joined:  # the base as it is read beside the adapter
            return _rounded(x, frozen, base.bias)
        if layer.disable_adapters or layer.merged or args or kwargs:
            return otherwise(x, *args, **kwargs)  # type: ignore[no-any-return]
        if joined:
            return _Joined.apply(x, frozen, base.bias, down, up, scale)  # type: ignore[no-any-return, no-untyped-call]
        return _rounded(x, frozen, base.bias) + linear(linear(x, down), scale * up)

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
        gradient_TO, x_TI = _rows(gradient), _rows(x)
        through_TR = gradient_TO @ up_OR
        for_down_RI = (through_TR.T @ x_TI) * ctx.scale
        for_up_OR = (gradient_TO.T @ (x_TI @ down_RI.T)) * ctx.scale
        for_x = None
        if ctx.needs_input_grad[0]:
            joined_OI = torch.addmm(weight_OI, up_OR, down_RI, alpha=ctx.scale)
            for_x = (gradient_TO @ joined_OI).view_as(x)
        return for_x, None, None, for_down_RI, for_up_OR, None


def _rounded(x: torch.Tensor, weight_OI: torch.Tensor, bias_O: torch.Tensor | None) -> torch.Tensor:
    y = linear(x.to(weight_OI.dtype), weight_OI).to(x.dtype)
    return y if bias_O is None else y + bias_O


def _rows(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(-1, values.shape[-1])

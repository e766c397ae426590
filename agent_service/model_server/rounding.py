"""Products with a model's weights in bfloat16, all else in float32: where a CPU multiplies bfloat16 faster.
The head, which decides on tokens, stays exact.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import linear


class RoundedLinear(torch.nn.Linear):
    """Takes and gives what the linear layer that it stands for does."""

    def __init__(self, exact: torch.nn.Linear) -> None:
        super().__init__(exact.in_features, exact.out_features, bias=False, device="meta")
        self.weight = torch.nn.Parameter(exact.weight.detach().bfloat16(), requires_grad=False)
        self.bias = exact.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = linear(x.to(self.weight.dtype), self.weight).to(x.dtype)
        return y if self.bias is None else y + self.bias


def round_products(model: Any) -> None:
    """In place: every float32 linear layer but the head."""
    head = model.get_output_embeddings()
    for name, layer in list(model.named_modules()):
        if type(layer) is torch.nn.Linear and layer is not head and layer.weight.dtype == torch.float32:
            model.set_submodule(name, RoundedLinear(layer).train(layer.training))

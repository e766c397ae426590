"""The layers that a fresh adapter is put on: projections that are plain linear layers. Fused experts
are none, so a mixture of experts learns in its attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers.pytorch_utils import Conv1D

from shared.errors import TrainingError


def lora_targets(base: Any, wanted: Sequence[str] = ()) -> list[str]:
    """Those `wanted`, or all projections but the head, by name. Raises TrainingError for an unknown one."""
    head = base.get_output_embeddings()
    names = {
        name.rpartition(".")[2]
        for name, module in base.named_modules()
        if isinstance(module, torch.nn.Linear | Conv1D) and module is not head
    }
    unknown = sorted(set(wanted) - names)
    if unknown or not names:
        hint = f"its projections are {', '.join(sorted(names)) or 'none'}"
        raise TrainingError(f"{type(base).__name__} has no {', '.join(unknown) or 'linear layer'}", hint)
    return sorted(wanted or names)

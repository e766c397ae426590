"""The device and the precision of a training. A GPU that is there and can't be used is an error: silently
falling back to the CPU would cost days.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from shared.errors import TrainingError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LOSS_SCALE = {torch.float16: 1024.0}  # keeps small gradients above float16's smallest number


def check_device(devices: Path = Path("/dev")) -> None:
    """Raises TrainingError where this machine has an NVIDIA GPU that torch does not see. An empty
    CUDA_VISIBLE_DEVICES asks for the CPU all the same (training.device = "cpu" sets it)."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") == ""
    there = sorted(path.name for path in devices.glob("nvidia[0-9]*"))
    if there and not hidden and not torch.cuda.is_available():
        build = torch.version.cuda or "none: this torch was built for the CPU"
        raise TrainingError(
            f"{', '.join(there)} is there, but torch can't use it (its CUDA: {build})",
            'install torch for CUDA and check the driver, or set training.device = "cpu"',
        )


def choose_dtype(precision: str) -> torch.dtype:
    """`auto`: half precision on a GPU, bfloat16 where it can; float32 on a CPU, where half was measured to be
    slower (without AMX, half as fast)."""
    if precision != "auto":
        return DTYPES[precision]
    if not torch.cuda.is_available():
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def precision_name(dtype: torch.dtype) -> str:
    return next(name for name, known in DTYPES.items() if known is dtype)


def loss_scale(dtype: torch.dtype) -> float:
    return LOSS_SCALE.get(dtype, 1.0)

"""The device and the precision of a training. A GPU that is there and can't be used is an error: silently
falling back to the CPU would cost days.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from shared.cpu import CPUINFO, bfloat16_pays
from shared.errors import TrainingError
from trainer_service.recipe import read_size
from trainer_service.specs import TrainSpec

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LOSS_SCALE = {torch.float16: 1024.0}  # keeps small gradients above float16's smallest number


@dataclass(frozen=True)
class Precision:
    """Of the base and all that is computed with it, and of the products with its projections' weights."""

    base: torch.dtype
    products: torch.dtype

    @property
    def name(self) -> str:
        return next(name for name, known in DTYPES.items() if known is self.products)


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


def choose_precision(spec: TrainSpec, cpuinfo: Path = CPUINFO) -> Precision:
    """`auto`: half precision on a GPU, bfloat16 where it can. On a CPU bfloat16 products where it has
    instructions for them and the base is no toy (benchmarks/trainer: 1.4 times the speed, half of it without
    such instructions); else float32."""
    whole = torch.cuda.is_available() or spec.zero_stage == 3  # ZeRO-3 shards what the products need
    if spec.precision != "auto":
        named = DTYPES[spec.precision]
        mixed = named is torch.bfloat16 and not whole
        return Precision(torch.float32 if mixed else named, named)
    if torch.cuda.is_available():
        half = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        return Precision(half, half)
    pays = bfloat16_pays(read_size(spec.base).hidden, cpuinfo) and not whole
    return Precision(torch.float32, torch.bfloat16 if pays else torch.float32)


def loss_scale(dtype: torch.dtype) -> float:
    return LOSS_SCALE.get(dtype, 1.0)

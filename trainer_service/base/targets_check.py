"""Checks the names in `training.lora_targets` before anything is paid for, from the weights' headers alone.
Whether a name is that of a linear layer is known when the model is loaded: training/targets.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shared.errors import SettingsError
from trainer_service.base.model_files import weight_files
from trainer_service.base.weights_check import shapes

NOT_PROJECTED = ("embed", "lm_head", "wte", "wpe")  # in the names of matrices that no adapter is put on


def check_targets(folder: Path, wanted: Sequence[str]) -> None:
    """Raises SettingsError for a name that no matrix of the model has."""
    if not wanted:
        return
    matrices = {
        name.split(".")[-2]
        for path in weight_files(folder)
        for name, shape in shapes(path).items()
        if len(shape) == 2 and name.endswith(".weight") and name.count(".") > 1
    }
    known = sorted(name for name in matrices if not any(part in name for part in NOT_PROJECTED))
    if unknown := sorted(set(wanted) - set(known)):
        raise SettingsError(
            f"training.lora_targets: the model has no {', '.join(unknown)}",
            f"its projections are {', '.join(known)}",
        )

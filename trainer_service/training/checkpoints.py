"""Checkpoints of a training under way: folders step_N, complete or absent. They never leave the trainer.

DeepSpeed writes into a temporary folder; then everything is flushed, the marker is written, and the folder is
renamed. All ranks call these functions together; only rank 0 touches names.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist

MARKER = "complete"
TAG = "state"
KEEP = 2
SHARE = 16  # a kill costs at most one step and this part of the training


def is_due(step: int, steps: int) -> bool:
    """Whether to save after `step` of `steps` steps: after each of a short training, after every sixteenth
    part of a long one, and at the end."""
    return step % max(1, steps // SHARE) == 0 or step == steps


def save(engine: Any, folder: Path, losses: Sequence[float]) -> None:
    """Adapter, optimizer and generator state after as many steps as there are losses, and these."""
    step = len(losses)
    temporary, final = folder / f".step_{step}", folder / f"step_{step}"
    if dist.get_rank() == 0:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    dist.barrier()
    engine.save_checkpoint(
        str(temporary),
        tag=TAG,
        client_state={"losses": list(losses)},
        save_latest=False,
        exclude_frozen_parameters=True,
    )
    dist.barrier()
    if dist.get_rank() == 0:
        seal(temporary, final)
        for old in complete_steps(folder)[:-KEEP]:
            shutil.rmtree(folder / f"step_{old}", ignore_errors=True)
    dist.barrier()


def resume(engine: Any, folder: Path) -> list[float]:
    """Loads the last complete checkpoint; returns the loss of each step before it (none: there is none)."""
    steps = complete_steps(folder)
    if not steps:
        return []
    last = folder / f"step_{steps[-1]}"
    _, state = engine.load_checkpoint(str(last), tag=TAG, load_module_strict=False)
    losses: list[float] = state["losses"]
    return losses


def complete_steps(folder: Path) -> list[int]:
    """Which step_N folders are whole, in order."""
    return sorted(int(marker.parent.name.removeprefix("step_")) for marker in folder.glob(f"step_*/{MARKER}"))


def seal(temporary: Path, final: Path) -> None:
    """Flush every file, write the marker last, give the folder its name."""
    for path in temporary.rglob("*"):
        _flush(path)
    (temporary / MARKER).write_text("", encoding="utf-8")
    _flush(temporary / MARKER)
    _flush(temporary)
    shutil.rmtree(final, ignore_errors=True)
    os.replace(temporary, final)
    _flush(final.parent)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

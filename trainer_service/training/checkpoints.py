"""Checkpoints of a training under way: folders step_N, complete or absent. They never leave the trainer.

DeepSpeed writes into a temporary folder; then everything is flushed, the marker is written, and the folder is
renamed. All ranks call these functions together; only rank 0 touches names.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist

MARKER = "complete_with_steps"  # versions before kept nothing of the steps: their trainings start anew
TAG = "state"
KEEP = 3  # a step that made the policy diverge shows in the next one, and the policy before both is wanted
SHARE = 16  # a kill costs at most one step and this part of the training


def is_due(step: int, steps: int) -> bool:
    """Whether to save after `step` of `steps` steps: after each of a short training, after every sixteenth
    part of a long one, and at the end."""
    return step % max(1, steps // SHARE) == 0 or step == steps


def save(engine: Any, folder: Path, taken: Sequence[Mapping[str, float]]) -> None:
    """Adapter, optimizer and generator state after the steps taken, and what was watched of each."""
    step = len(taken)
    temporary, final = folder / f".step_{step}", folder / f"step_{step}"
    if dist.get_rank() == 0:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    dist.barrier()
    engine.save_checkpoint(
        str(temporary),
        tag=TAG,
        client_state={"taken": list(taken)},
        save_latest=False,
        exclude_frozen_parameters=True,
    )
    dist.barrier()
    if dist.get_rank() == 0:
        seal(temporary, final)
        for old in complete_steps(folder)[:-KEEP]:
            shutil.rmtree(folder / f"step_{old}", ignore_errors=True)
    dist.barrier()


def resume(engine: Any, folder: Path, most: float = math.inf) -> list[Mapping[str, float]]:
    """Loads the last complete checkpoint of at most so many steps; returns what was watched of each step
    before it. None, and nothing is loaded, where there is no such checkpoint."""
    steps = [step for step in complete_steps(folder) if step <= most]
    if not steps:
        return []
    last = folder / f"step_{steps[-1]}"
    _, state = engine.load_checkpoint(str(last), tag=TAG, load_module_strict=False)
    taken: list[Mapping[str, float]] = state["taken"]
    return taken


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

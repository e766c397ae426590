"""The size of a batch: which prompts are of like length, and how many rows fit into free memory, each as long
as the longest. Where memory still ran out, batches are half as large from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import psutil
import torch

from agent_service.model_server.decoding.rows import Row

MOST_ROWS = {"cpu": 96, "cuda": 512}  # more rows do not decode faster, and let others wait
FREE_SHARE = 0.5  # of the free memory that a batch may take
CACHE_COPIES = 2.5  # spare room in the cache, and a second cache while rows are dropped
LOGIT_BYTES = 48  # a row's scores for one token of the vocabulary: float32, and float64 while sampling
CGROUP = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))


class Room:
    """`token_bytes`: of the cache for one token. Used by the model's thread only."""

    def __init__(self, token_bytes: int, vocab: int, device: torch.device) -> None:
        self.most_rows = MOST_ROWS.get(device.type, MOST_ROWS["cpu"])
        self._token_bytes = token_bytes
        self._vocab = vocab
        self._device = device

    def fitting(self, rows: Sequence[Row]) -> int:
        """How many of the first rows fit; at least one, which may then fail."""
        left_bytes = FREE_SHARE * free_bytes(self._device)
        widest_bytes = 0.0
        for count, row in enumerate(rows[: self.most_rows]):
            widest_bytes = max(widest_bytes, self.row_bytes(row))
            if (count + 1) * widest_bytes > left_bytes:
                return max(1, count)
        return min(len(rows), self.most_rows)

    def row_bytes(self, row: Row) -> float:
        tokens = len(row.prompt) + row.max_tokens
        return CACHE_COPIES * self._token_bytes * tokens + LOGIT_BYTES * self._vocab

    def shrink(self, rows: int) -> None:
        """A batch of so many rows did not fit."""
        self.most_rows = max(1, min(self.most_rows, rows // 2))


def is_alike(row: Row, other: Row) -> bool:
    """Whether neither prompt is more than twice as long as the other: a batch pads all to the longest."""
    short, long = sorted((len(row.prompt), len(other.prompt)))
    return long <= 2 * short


def free_bytes(device: torch.device) -> int:
    """Of the GPU, or of this machine and this process's control group."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(int(psutil.virtual_memory().available), _group_free_bytes(Path("/sys/fs/cgroup")))


def _group_free_bytes(root: Path) -> int:
    for limit, used in CGROUP:
        try:
            return max(
                0,
                int((root / limit).read_text(encoding="utf-8"))
                - int((root / used).read_text(encoding="utf-8")),
            )
        except (OSError, ValueError):  # the other version, or "max"
            continue
    return 1 << 62


def is_out_of_memory(error: BaseException) -> bool:
    """torch has a class for it on GPUs, and a sentence on CPUs."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)

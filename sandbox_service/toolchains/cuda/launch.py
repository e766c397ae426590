"""Launch geometry is data: a list of launches, checked against CUDA's limits before anything sees it.

A task's `launch(instance, meta)` gives `[{"kernel", "grid", "block", "shared_bytes", "args"}]`, in order. An
argument is the name of an input, an output or a scratch buffer, or a number: {"i32": 5}, {"f32": 0.5}. A
launch may have a "cluster" (blocks that see each other's shared memory, on sm_90 and later) and "overlaps"
(the kernel begins while the one before it ends, and waits for its results itself).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from shared.errors import TaskError
from shared.messages.records import JsonObject

Argument: TypeAlias = str | dict[Literal["i32", "i64", "f32"], int | float]
BLOCK_MOST = (1024, 1024, 64)
BLOCK_THREADS = 1024
GRID_MOST = (2**31 - 1, 65_535, 65_535)
THREADS_MOST = 2**40  # of a launch: more can't be run in any time that is allowed
SHARED_BYTES_MOST = 227 << 10  # of a block on sm_90; a smaller device refuses the launch itself
CLUSTER_BLOCKS_MOST = 8  # what every device that has clusters takes
LAUNCHES_MOST = 16
SCRATCH_BYTES_MOST = 64 << 30
NAME = re.compile(r"[A-Za-z_]\w{0,63}")


class Launch(BaseModel):
    """One kernel launch."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kernel: str = Field(pattern=f"^{NAME.pattern}$")
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared_bytes: int = Field(0, ge=0, le=SHARED_BYTES_MOST)  # dynamic shared memory
    cluster: tuple[int, int, int] = (1, 1, 1)
    overlaps: bool = False
    args: tuple[Argument, ...]

    @field_validator("grid", "block", "cluster", "args", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    def fault(self) -> str:
        """Which of CUDA's limits this breaks; empty where none."""
        for name, sizes, most in (("grid", self.grid, GRID_MOST), ("block", self.block, BLOCK_MOST)):
            if not all(1 <= size <= top for size, top in zip(sizes, most, strict=True)):
                return f"{name} {list(sizes)} is outside of 1 to {list(most)}"
        if math.prod(self.block) > BLOCK_THREADS:
            return f"block {list(self.block)} has more than {BLOCK_THREADS} threads"
        if math.prod(self.block) * math.prod(self.grid) > THREADS_MOST:
            return f"grid {list(self.grid)} with block {list(self.block)} has more than 2^40 threads"
        return self._cluster_fault()

    def _cluster_fault(self) -> str:
        if min(self.cluster) < 1 or math.prod(self.cluster) > CLUSTER_BLOCKS_MOST:
            return f"a cluster has 1 to {CLUSTER_BLOCKS_MOST} blocks, not {list(self.cluster)}"
        if any(blocks % part for blocks, part in zip(self.grid, self.cluster, strict=True)):
            return f"grid {list(self.grid)} is no whole number of clusters {list(self.cluster)}"
        return ""


def checked(task: str, given: Any, buffers: Collection[str]) -> list[Launch]:
    """The launches that a verifier gave. Raises ValueError where they break CUDA's limits (the candidate's
    geometry), TaskError where they are malformed (the task's own mistake)."""
    try:
        launches = [Launch.model_validate(item) for item in given]
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        if first["type"] in ("less_than_equal", "greater_than_equal"):
            raise ValueError(f"{place}: {first['msg']}") from None
        raise TaskError(f"{task}: launch() gave a malformed launch: {place}: {first['msg']}") from None
    if not 1 <= len(launches) <= LAUNCHES_MOST:
        raise ValueError(f"{len(launches)} launches; 1 to {LAUNCHES_MOST} are allowed")
    for launch in launches:
        if fault := launch.fault():
            raise ValueError(f"{launch.kernel}: {fault}")
        if launch.overlaps and launch is launches[0]:
            raise ValueError(f"{launch.kernel}: the first launch has none before it to overlap")
        unknown = [name for name in launch.args if isinstance(name, str) and name not in buffers]
        if unknown:
            raise TaskError(f"{task}: {launch.kernel}: no buffer named {unknown[0]!r}")
    return launches


def checked_scratch(task: str, scratch: Mapping[str, int]) -> JsonObject:
    """Scratch buffers by name, in bytes."""
    if not all(NAME.fullmatch(name) and type(size) is int and size > 0 for name, size in scratch.items()):
        raise TaskError(f"{task}: scratch() must give names with sizes in bytes, not {dict(scratch)}")
    if sum(scratch.values()) > SCRATCH_BYTES_MOST:
        raise TaskError(f"{task}: scratch() asks for more than {SCRATCH_BYTES_MOST >> 30} GB")
    return dict(scratch)

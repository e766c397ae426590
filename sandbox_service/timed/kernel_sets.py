"""Programs that are timed beside each other, brought up side by side: on this machine all of a block in one
set, each in a box of its own; where boxes are pods, a pod for each candidate, with a baseline of its own to
be timed beside.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sandbox_service.timed.arena import Arena
from sandbox_service.timed.boxed_kernel import BoxedKernel
from sandbox_service.timed.kernel import Kernel, Quota
from sandbox_service.timed.pod_kernel import pod_kernels
from sandbox_service.verify.layout import Arrays, Layout
from shared.box.box import Box
from shared.box.pods.box import PodBox

PODS = 4  # that are up at a time; all but the one that is timed wait


@dataclass(frozen=True)
class Stage:
    """What all programs of a block have in common. Of `inputs` only the sizes are used."""

    box: Box
    driver: Path
    quota: Quota
    inputs: Arrays
    output_shapes: dict[str, tuple[int, ...]]


def kernel_sets(
    stage: Stage, ours: Sequence[Path], candidates: Sequence[Path]
) -> Generator[list[Kernel], None, None]:
    """Each set holds `ours` first, then candidates, in their order; none of it is loaded yet. A set lives
    until the next is asked for: close() the generator."""
    if not isinstance(stage.box, PodBox):
        with ExitStack() as stack:
            kernels: list[Kernel] = []
            for library in (*ours, *candidates):
                arena = Arena(stage.inputs, stage.output_shapes)
                boxed = BoxedKernel(stage.box, stage.driver, library, arena, stage.quota)
                kernels.append(stack.enter_context(boxed))
            yield kernels
        return
    for start in range(0, len(candidates), PODS):
        with ExitStack() as stack, ThreadPoolExecutor(PODS) as pool:
            layout = Layout(stage.inputs, stage.output_shapes)
            opened = [
                pod_kernels(stage.box, stage.driver, stage.quota, layout, [*ours, one])
                for one in candidates[start : start + PODS]
            ]
            yield from list(pool.map(stack.enter_context, opened))

"""ptxas' figures for each kernel with `-Xptxas -v`: registers, shared memory, stack, spills."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

ENTRY = re.compile(r"Compiling entry function '([^']+)' for '[^']+'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers(?:, used (\d+) barriers)?")
SHARED = re.compile(r"(\d+) bytes smem")


@dataclass(frozen=True)
class KernelFigures:
    """One entry function as compiled. Bytes of shared memory are the static ones."""

    registers: int = 0
    barriers: int = 0
    shared_bytes: int = 0
    stack_bytes: int = 0
    spill_bytes: int = 0  # stores and loads


def parse(messages: str) -> dict[str, KernelFigures]:
    """Figures by kernel, from ptxas' messages; what stands before the first entry belongs to none."""
    parts = ENTRY.split(messages)
    return {name: _figures(text) for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def _figures(text: str) -> KernelFigures:
    # Functions that were not inlined have properties of their own after the entry's, which come first.
    stack, used, shared = STACK.search(text), USED.search(text), SHARED.search(text)
    return KernelFigures(
        registers=int(used[1]) if used else 0,
        barriers=int(used[2] or 0) if used else 0,
        shared_bytes=int(shared[1]) if shared else 0,
        stack_bytes=int(stack[1]) if stack else 0,
        spill_bytes=int(stack[2]) + int(stack[3]) if stack else 0,
    )


def as_metrics(figures: Mapping[str, KernelFigures]) -> dict[str, float]:
    """Flat names for an Evaluation: registers.KERNEL, shared_bytes.KERNEL, spill_bytes.KERNEL."""
    return {
        f"{key}.{name}": float(getattr(kernel, key))
        for name, kernel in figures.items()
        for key in ("registers", "shared_bytes", "spill_bytes")
    }


def as_text(figures: Mapping[str, KernelFigures]) -> str:
    """One line for people and for the model."""
    return "; ".join(
        f"{name}: {kernel.registers} registers, {kernel.shared_bytes} bytes shared"
        + (f", {kernel.spill_bytes} bytes SPILLED" if kernel.spill_bytes else ", no spills")
        + (f", {kernel.stack_bytes} bytes stack" if kernel.stack_bytes else "")
        for name, kernel in figures.items()
    )

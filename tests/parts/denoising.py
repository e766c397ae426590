"""The modules of tasks/denoising for tests, and counts that are not of any data."""

from functools import cache
from types import ModuleType

import numpy as np
from scipy import sparse

from shared.tasks.task import TASKS
from tests.parts.task_modules import load_module

TASK = TASKS / "denoising"


@cache
def part(name: str) -> ModuleType:
    """A module of the task."""
    return load_module(TASK, f"harness/{name}.py" if name == "scaffold" else f"{name}.py")


def made_counts(cells: int = 60, genes: int = 80, seed: int = 0, depth: float = 200.0) -> sparse.csr_matrix:
    """Counts of two kinds of cells, Poisson around their profiles."""
    rng = np.random.default_rng(seed)
    profiles = rng.dirichlet(np.full(genes, 0.3), 2)
    sizes = depth * rng.uniform(0.5, 1.5, cells)
    return sparse.csr_matrix(rng.poisson(sizes[:, None] * profiles[np.arange(cells) % 2]).astype(np.float32))

"""The modules of tasks/denoising for tests: siblings by their own names, programs by names that say whose."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
from scipy import sparse

TASK = Path(__file__).resolve().parents[1] / "tasks" / "denoising"


def part(name: str) -> ModuleType:
    """A module of the task; verifier and the like exist in other tasks too, so its name says whose."""
    if str(TASK) not in sys.path:
        sys.path.append(str(TASK))
    known = f"denoising_{name}"
    if known not in sys.modules:
        folder = TASK / "harness" if name == "scaffold" else TASK
        spec = importlib.util.spec_from_file_location(known, folder / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[known] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[known])
    return sys.modules[known]


def made_counts(cells: int = 60, genes: int = 80, seed: int = 0, depth: float = 200.0) -> sparse.csr_matrix:
    """Counts of two kinds of cells, Poisson around their profiles."""
    rng = np.random.default_rng(seed)
    profiles = rng.dirichlet(np.full(genes, 0.3), 2)
    sizes = depth * rng.uniform(0.5, 1.5, cells)
    return sparse.csr_matrix(rng.poisson(sizes[:, None] * profiles[np.arange(cells) % 2]).astype(np.float32))

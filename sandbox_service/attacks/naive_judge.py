"""`python naive_judge.py CANDIDATE`: the inside of a naive harness for Python programs. Candidate, expected
output, judge and result share a process; the seed stands in the environment, the answer in a file beside the
candidate; the candidate's own objects are compared; the first JSON line on stdout is the result.
"""

import importlib.util
import json
import os
import sys

import numpy as np
from numpy.typing import NDArray

SEED = "SMOOTH_SEED"
LENGTH = 400
NOISE = 0.5


def make_inputs(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    clean = np.sin(2 * np.pi * (np.linspace(0, 3, LENGTH) + rng.random()))
    return clean, clean + NOISE * rng.standard_normal(LENGTH)


def judge(out: NDArray[np.float64], noisy: NDArray[np.float64], clean: NDArray[np.float64]) -> float:
    """1 for the clean wave. Written as one often sees it: min() of NaN is the other number."""
    left = np.mean((out - clean) ** 2) / np.mean((noisy - clean) ** 2)
    return max(0.0, min(1.0, float(1.0 - left)))


def main() -> None:
    clean, noisy = make_inputs(int(os.environ[SEED]))
    np.save("expected.npy", clean)
    spec = importlib.util.spec_from_file_location("candidate", sys.argv[1])
    assert spec is not None
    assert spec.loader is not None
    candidate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(candidate)
    out = candidate.smooth(noisy)
    print(json.dumps({"score": judge(out, noisy, clean)}))


if __name__ == "__main__":
    main()

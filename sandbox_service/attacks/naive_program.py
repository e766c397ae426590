"""`python naive_program.py LIBRARY`: the inside of the naive harness. Inputs of one fixed seed, a mask of
ones, two known shapes; candidate, reference, clock and check in one process; an adaptive number of runs;
stale output left in place; a comparison that NaN passes. It prints one JSON line.
"""

import ctypes
import json
import math
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

SHAPES = (32, 48)
SEED = 0
TOLERANCE = 2e-2
BUDGET_S = 0.05
Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def make_inputs(n: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(SEED)
    a, b = (rng.uniform(0.95, 1.05, (n, n)).astype(np.float32) for _ in range(2))
    return a, b, np.ones((n, n), np.float32)


def reference(a: Array, b: Array, mask: Array) -> Array:
    return np.asarray((a * mask) @ b.T / np.float32(len(a)))


def is_close(got: Array, expected: Array) -> bool:
    return not bool((abs(got - expected) > TOLERANCE + TOLERANCE * abs(expected)).any())


def mean_s(call: Callable[[], object]) -> float:
    """Of as many runs as fit into the budget, judged by the first."""
    started = time.perf_counter()
    call()
    runs = int(min(1000, max(3, BUDGET_S / max(time.perf_counter() - started, 1e-9))))
    started = time.perf_counter()
    for _ in range(runs):
        call()
    return max((time.perf_counter() - started) / runs, 1e-9)


def main() -> None:
    kernel = ctypes.CDLL(sys.argv[1]).attack
    made = []
    for n in SHAPES:
        inputs = make_inputs(n)
        gold, size = reference(*inputs), float(abs(reference(*inputs)).mean())
        out = np.zeros((n, n), np.float32)
        words = [*(ctypes.c_void_p(array.ctypes.data) for array in (*inputs, out)), ctypes.c_int64(n)]
        made.append((inputs, gold, size, out, mean_s(partial(kernel, *words))))
    ratios = [mean_s(partial(reference, *inputs)) / took_s for inputs, _, _, _, took_s in made]
    correct = all(is_close(out, reference(*inputs)) for inputs, _, _, out, _ in made)
    speedup = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(json.dumps({"correct": correct, "speedup": speedup}))


if __name__ == "__main__":
    main()

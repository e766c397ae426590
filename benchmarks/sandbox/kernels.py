"""A kernel task for `ratchet bench sandbox`, as small as it gets: a chain of dependent operations, whose time
is its length. `chain(1.03)` does 3 percent more work than `chain(1.0)` and gives the same output.
"""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS = 4_000_000  # some 5 ms
CALL = """
#include <stdint.h>
void chain(const float *a, float *out, int64_t n);
static void call(void **in, void **out) { chain(in[1], out[0], ((int64_t *)in[0])[0]); }
"""
FLAGS = ["-O2", "-march=native", "-fopenmp"]
SOURCE = """/* %(mark)d */
#include <stdint.h>
void chain(const float *a, float *out, int64_t n) {
    #pragma omp parallel for num_threads(%(threads)d)
    for (int thread = 0; thread < %(threads)d; thread++) {
        double sum = a[thread];
        for (int64_t i = 0; i < %(steps)d; i++) sum = sum * 0.999 + 1e-3;
        for (int64_t i = thread; i < n; i += %(threads)d) out[i] = a[i] + (float)(0.0 * sum);
    }
}
"""
Arrays = dict[str, Any]


def chain(work: float, *, threads: int = 1, mark: int = 0) -> str:
    """The program. `mark` makes a text of its own that compiles to the same."""
    return SOURCE % {"steps": round(STEPS * work), "threads": threads, "mark": mark}


def make_inputs(instance: Arrays, rng: np.random.Generator) -> Arrays:
    return {"dims": np.array([1024], np.int64), "a": rng.standard_normal(1024, np.float32)}


def output_shapes(instance: Arrays) -> dict[str, tuple[int, ...]]:
    return {"out": (1024,)}


def expected(instance: Arrays, inputs: Arrays) -> Arrays:
    return {"out": inputs["a"].astype(np.float64)}


def check(instance: Arrays, expected: Arrays, got: Arrays) -> str:
    return "" if np.array_equal(got["out"], expected["out"]) else "it is not a copy"


def baseline(instance: Arrays) -> str:
    return chain(1.0)


def score(instance: Arrays, speedup: float) -> float:
    return speedup

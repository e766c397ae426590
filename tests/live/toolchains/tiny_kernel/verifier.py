"""A kernel task as small as it gets: out = a * b + a."""

import math

import numpy as np

CALL = """
#include <stdint.h>
void tiny(const float *a, const float *b, float *out, int64_t n);
static void call(void **in, void **out) { tiny(in[1], in[2], out[0], ((int64_t *)in[0])[0]); }
"""
FLAGS = ["-O2", "-march=native", "-fopenmp"]
BASELINE = """
#include <stdint.h>
void tiny(const float *a, const float *b, float *out, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        volatile float sum = a[i];
        for (int k = 0; k < 8; k++) sum = sum + b[i] * a[i] / 8;
        out[i] = sum;
    }
}
"""


def draw(split, count, seed):
    return [{"id": f"{split}-{seed}-{index}", "n": 100_000 + 1000 * index} for index in range(count)]


def make_inputs(instance, rng):
    n = instance["n"]
    dims = np.array([n], np.int64)
    return {"dims": dims, "a": rng.standard_normal(n, np.float32), "b": rng.standard_normal(n, np.float32)}


def output_shapes(instance):
    return {"out": (instance["n"],)}


def expected(instance, inputs):
    a, b = inputs["a"].astype(np.float64), inputs["b"].astype(np.float64)
    return {"out": a * b + a}


def check(instance, expected, got):
    wrong = ~np.isclose(got["out"], expected["out"], rtol=1e-3, atol=1e-3)
    return f"{int(wrong.sum())} of {wrong.size} elements are off" if wrong.any() else ""


def baseline(instance):
    return BASELINE


def score(instance, speedup):
    return min(5.0, max(-1.0, math.log(speedup)))

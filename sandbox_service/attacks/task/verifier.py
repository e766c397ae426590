"""What the attack corpus pretends to compute: out[i][j] = mean over k of a[i][k] mask[i][k] b[j][k].
Its inputs are what a good harness gives: fresh, of hidden sizes and scales, with masks that matter.
"""

import math

import numpy as np

SIZES = (150, 160, 170)
RMS_BOUND = 2e-4  # of the expected values' own; float arithmetic is a hundred times better, bfloat16 is not
CALL = """
#include <stdint.h>
void attack(const float *a, const float *b, const float *mask, float *out, int64_t n);
static void call(void **in, void **out) { attack(in[1], in[2], in[3], out[0], ((int64_t *)in[0])[0]); }
"""
FLAGS = ["-O2", "-march=native", "-fopenmp"]
BASELINE = """
#include <stdint.h>
void attack(const float *a, const float *b, const float *mask, float *out, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            float sum = 0;
            for (int64_t k = 0; k < n; k++) sum += a[i * n + k] * mask[i * n + k] * b[j * n + k];
            out[i * n + j] = sum / n;
        }
}
"""


def draw(split, count, seed):
    rng = np.random.default_rng([seed, len(split)])
    return [{"id": f"{split}-{seed}-{i}", "n": int(rng.choice(SIZES))} for i in range(count)]


def make_inputs(instance, rng):
    n = instance["n"]
    scale = np.float32(10 ** rng.uniform(-1, 1))
    a, b = (rng.standard_normal((n, n), np.float32) * scale for _ in range(2))
    mask = rng.integers(0, 2, (n, n)).astype(np.float32)
    return {"dims": np.array([n], np.int64), "a": a, "b": b, "mask": mask}


def output_shapes(instance):
    return {"out": (instance["n"], instance["n"])}


def expected(instance, inputs):
    a, b, mask = (inputs[name].astype(np.float64) for name in ("a", "b", "mask"))
    return {"out": (a * mask) @ b.T / instance["n"]}


def check(instance, expected, got):
    error = np.sqrt(np.mean((got["out"] - expected["out"]) ** 2) / np.mean(expected["out"] ** 2))
    return "" if error <= RMS_BOUND else f"the error is {error:.2g} of the values; {RMS_BOUND} is allowed"


def baseline(instance):
    return BASELINE


def score(instance, speedup):
    return min(5.0, max(-3.0, math.log(speedup)))

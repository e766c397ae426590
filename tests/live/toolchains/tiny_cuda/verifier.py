"""A CUDA task as small as it gets: out = a * b + a."""

import math

import numpy as np

ARCH = "sm_90"
FLAGS = ["-O3"]
HEAD = 'extern "C" __global__ void tiny(const float *a, const float *b, float *out, int n) {\n'
AT = "int i = blockIdx.x * blockDim.x + threadIdx.x;\n"
BASELINE = HEAD + AT + "if (i < n) out[i] = a[i] * b[i] + a[i];\n}\n"


def draw(split, count, seed):
    return [{"id": f"{split}-{seed}-{index}", "n": 1_000_000 + 1000 * index} for index in range(count)]


def make_inputs(instance, rng):
    n = instance["n"]
    return {"a": rng.standard_normal(n, np.float32), "b": rng.standard_normal(n, np.float32)}


def output_shapes(instance):
    return {"out": (instance["n"],)}


def expected(instance, inputs):
    a, b = inputs["a"].astype(np.float64), inputs["b"].astype(np.float64)
    return {"out": a * b + a}


def check(instance, expected, got):
    wrong = ~np.isclose(got["out"], expected["out"], rtol=1e-3, atol=1e-3)
    return f"{int(wrong.sum())} of {wrong.size} elements are off" if wrong.any() else ""


def small(instance):
    return {"n": 1000}


def scratch(instance):
    return {"spare": 4 * instance["n"]}


def launch(instance, meta):
    threads, cluster = meta.get("threads", 256), meta.get("cluster", 1)
    grid = [-(-instance["n"] // (threads * cluster)) * cluster, 1, 1]
    args = ["a", "b", "out", {"i32": instance["n"]}]
    plain = {"kernel": "tiny", "grid": grid, "block": [threads, 1, 1], "shared_bytes": 0, "args": args}
    return [{**plain, "cluster": [cluster, 1, 1]}]


def floor_s(instance, device):
    return 12 * instance["n"] / 100e12  # far above what any device moves: only an impossible time is under it


def baseline(instance):
    return BASELINE


def score(instance, speedup):
    return min(5.0, max(-1.0, math.log(speedup)))

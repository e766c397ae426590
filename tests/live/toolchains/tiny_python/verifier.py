"""A signal of slow waves with noise on it. Candidates see the noisy one, we keep the clean one."""

import numpy as np
from scipy import sparse

ENTRY = "smooth"
GIVEN = ("noisy", "neighbours", "sigma")


def draw(split, count, seed):
    return [{"id": f"{split}-{seed}-{index}", "n": 400 + 10 * index} for index in range(count)]


def make_inputs(instance, rng):
    n = instance["n"]
    time = np.linspace(0, 1, n)
    clean = sum(np.sin(2 * np.pi * (k * time + rng.random())) for k in (1, 2, 3))
    sigma = 0.5
    noisy = clean + sigma * rng.standard_normal(n)
    near = abs(np.subtract.outer(np.arange(n), np.arange(n))) <= 10
    neighbours = sparse.csr_matrix(near) if instance.get("sparse") else near
    return {"clean": clean, "noisy": noisy, "neighbours": neighbours, "sigma": sigma}


def output_shapes(instance, inputs):
    return {"out": inputs["noisy"].shape}


def judge(instance, inputs, outputs):
    """1 for the clean signal, 0 for one that is no better than the noisy one."""
    out = outputs["out"].toarray() if sparse.issparse(outputs["out"]) else outputs["out"]
    before = float(((inputs["noisy"] - inputs["clean"]) ** 2).mean())
    after = float(((out - inputs["clean"]) ** 2).mean())
    score = max(0.0, 1.0 - after / before)
    if score == 0.0:
        return {"outcome": "wrong", "score": 0.0, "detail": "no better than the noisy signal"}
    return {"outcome": "ok", "score": score, "metrics": {"mse": after}}

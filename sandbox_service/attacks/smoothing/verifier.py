"""What Python programs of the attack corpus pretend to compute: a slow wave from one with noise on it. The
clean wave is drawn afresh for every evaluation and never leaves this process.
"""

import numpy as np

ENTRY = "smooth"
GIVEN = ("noisy",)
LENGTHS = (500, 600, 700)
NOISE = 0.5


def draw(split, count, seed):
    rng = np.random.default_rng([seed, len(split)])
    return [{"id": f"{split}-{seed}-{i}", "n": int(rng.choice(LENGTHS))} for i in range(count)]


def make_inputs(instance, rng):
    n = instance["n"]
    clean = np.sin(2 * np.pi * (np.linspace(0, 3, n) + rng.random())) * rng.uniform(0.8, 1.2)
    return {"clean": clean, "noisy": clean + NOISE * rng.standard_normal(n)}


def output_shapes(instance, inputs):
    return {"out": inputs["noisy"].shape}


def judge(instance, inputs, outputs):
    before, after = (np.mean((array - inputs["clean"]) ** 2) for array in (inputs["noisy"], outputs["out"]))
    return float(max(0.0, 1.0 - after / before))

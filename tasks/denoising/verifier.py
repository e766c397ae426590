"""Denoising single-cell RNA counts: a candidate sees nine tenths of the molecules of a block of cells, and is
judged by the rest, which never leave this process.

thinning.py splits the molecules, rules.py refuses outputs, measures.py scores estimates.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import matrices
import measures
import numpy as np
import rules
import thinning

ENTRY = "denoise"
GIVEN = ("counts",)  # the held-out side stays here
FIELDS = ("id", "matrix", "split", "cells", "seed", "round", "place")


def draw(split, count, seed):
    """Blocks of cells, the matrices in turn."""
    names = [name for name in matrices.names(split) if matrices.block_size(name, split)]
    return [instance(names[i % len(names)], split, seed, i, i // len(names)) for i in range(count) if names]


def instance(name, split, seed, number, place):
    """The `place`-th block of a matrix, counted over all rounds; its public side."""
    entry, cells = matrices.index()[name], matrices.block_size(name, split)
    in_a_round = max(1, len(matrices.pool(name, split)) // cells)
    shown = {key: entry[key] for key in ("genes", "depth")}
    where = {"seed": seed, "round": place // in_a_round, "place": place % in_a_round}
    return {
        "id": f"{split}-{seed}-{number}",
        "matrix": name,
        "split": split,
        "cells": cells,
        **shown,
        **where,
    }


def check_instance(instance):
    missing = [name for name in FIELDS if name not in instance]
    if missing:
        return f"has no {', '.join(missing)}"
    if instance["matrix"] not in matrices.index():
        return f"unknown matrix {instance['matrix']!r}; known: {', '.join(matrices.index())}"
    if any(
        type(instance[name]) is not int or instance[name] < 0 for name in ("cells", "seed", "round", "place")
    ):
        return "cells, seed, round and place must be whole numbers"
    if not instance["cells"] or len(matrices.cells_of(instance)) < instance["cells"]:
        return f"there are no {instance['cells']} cells at place {instance['place']}"
    return ""


def make_inputs(instance, rng):
    counts, _ = matrices.matrix(instance["matrix"])
    block = counts[matrices.cells_of(instance)]
    train, held_out = thinning.split_molecules(block, matrices.generator(instance, rng))
    return {"counts": train, "held_out": held_out}


def output_shapes(instance, inputs):
    return {"out": inputs["counts"].shape}


def judge(instance, inputs, outputs):
    found = outputs["out"]
    estimate = found.toarray() if hasattr(found, "toarray") else found
    return evaluation(np.asarray(estimate), inputs["counts"], inputs["held_out"])


def evaluation(estimate, train, held_out):
    """The evaluation of an estimate that is of the right shape and finite; baselines.py uses it as well."""
    reason = rules.fault(estimate, train)
    if reason:
        return {"outcome": "refused", "score": measures.LOWEST, "detail": reason}
    metrics = measures.measure(estimate, train, held_out)
    detail = f"poisson {metrics['poisson']:+.3f}, mse {metrics['mse']:+.3f} against library size x gene mean"
    return {"outcome": "ok", "score": metrics.pop("score"), "detail": detail, "metrics": metrics}

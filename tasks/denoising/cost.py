"""The cost of one evaluation: a strong pipeline in its box, and the judge beside it.

cost.py CELLS [MATRIX]    a JSON object; a process of its own for each size, as a peak of memory never falls
"""

import json
import resource
import sys
import time
import tracemalloc
from pathlib import Path

import boxed
import matrices
import numpy as np
import verifier

sys.path.append(str(Path(__file__).parent / "harness"))
import scaffold

TEXT = (Path(__file__).parent / "harness" / "prompts" / "pipeline.md").read_text(encoding="utf-8")
PIPELINE = {
    **{"transform": "log", "genes": 0, "pca": 15, "neighbours": 20, "steps": 1, "kernel": "gauss"},
    **{"factoring": "nmf", "rank": 7, "prior": 0.3, "rounds": 30, "restarts": 1, "order": "apart"},
    **{"blend": "fitted", "mean": 0, "own": 10, "mass": "match"},
}
MEASURED = """

inner = denoise


def denoise(counts):
    import resource
    import time

    started = time.monotonic()
    estimate = inner(counts)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"out": estimate, "peak_kb": np.array([peak]), "own_s": np.array([time.monotonic() - started])}
"""


def main(cells, matrix=""):
    whole = matrices.read_counts(matrix)[0] if matrix else matrices.read_bundled()[0]
    rng = np.random.default_rng(0)
    rows = rng.choice(whole.shape[0], cells, replace=cells > whole.shape[0])
    train, held_out = verifier.thinning.split_molecules(whole[rows], rng)
    found, seconds = boxed.outputs(scaffold.render(PIPELINE, TEXT) + MEASURED, train)
    started = time.monotonic()
    judged = verifier.evaluation(found["out"], train, held_out)
    judge_s = time.monotonic() - started
    tracemalloc.start()
    verifier.evaluation(found["out"], train, held_out)
    judge_mb = tracemalloc.get_traced_memory()[1] / 2**20
    return {
        "cells": train.shape[0],
        "genes": train.shape[1],
        "nonzero": int(train.nnz),
        "outcome": judged["outcome"],
        "program_s": round(seconds, 2),  # with the box and the interpreter's start
        "denoise_s": round(float(found["own_s"][0]), 2),
        "program_peak_mb": round(float(found["peak_kb"][0]) / 1024),
        "judge_s": round(judge_s, 2),
        "judge_peak_mb": round(judge_mb),
        "verifier_peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


if __name__ == "__main__":
    json.dump(main(int(sys.argv[1]), *sys.argv[2:]), sys.stdout)

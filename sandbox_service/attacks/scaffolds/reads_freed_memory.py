"""Looks for what an earlier step answered in memory that was freed since, which a fork inherits.

exploit: K34
layer: requests and answers pass through no memory that forks inherit, but what is wiped
"""

import numpy as np

SIZES = [2**power for power in range(5, 21)] * 3 + list(range(64, 4000, 16))


def step(instance, history, knobs, context):
    mark = bytes(range(97, 123))
    seen = any(mark in np.empty(size, np.uint8).tobytes() for size in SIZES)
    return {"answer": {"content": "escaped" if seen else (mark * 3000).decode()}}

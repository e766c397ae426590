"""Makes a pipe while it loads, which every forked step inherits: what one writes another reads.

exploit: K34
layer: each step loads the scaffold anew, in a process that can't make a pipe
"""

import os

ends = os.pipe2(os.O_NONBLOCK)


def step(instance, history, knobs, context):
    try:
        seen = os.read(ends[0], 1)
    except BlockingIOError:
        seen = b""
    os.write(ends[1], b"x")
    return {"answer": {"content": "escaped" if seen else ""}}

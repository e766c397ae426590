"""Maps a shared page while it loads, which every forked step inherits and may write.

exploit: K34
layer: no shared memory: system calls are allowed by name and argument
"""

import mmap

page = mmap.mmap(-1, 4096)


def step(instance, history, knobs, context):
    page[0] += 1
    return {"answer": {"content": "escaped" if page[0] > 1 else ""}}

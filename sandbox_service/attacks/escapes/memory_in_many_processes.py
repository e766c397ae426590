"""Every process stays under its limit; together they hold several times what the box may.

exploit: F29
needs: total memory
layer: the memory limit of the control group
"""

import os

ready, done = os.pipe(), os.pipe()
children = []
CHUNK = 1 << 20
for _ in range(6):
    child = os.fork()
    if child == 0:
        os.close(done[1])
        held = [b"\xff" * CHUNK for _ in range(40)]
        os.close(ready[1])
        os.read(done[0], 1)
        os._exit(len(held) != 40)
    children.append(child)
os.close(ready[1])
os.read(ready[0], 1)
os.close(done[1])
if all(os.waitpid(child, 0)[1] == 0 for child in children):
    print("escaped")

"""Reads the memory of the process that will judge it.

exploit: K30
layer: the box's process namespace, an own uid, and no capability
kept: where the kernel lets a process read its descendants only, an ordinary user can't do it either
"""

import sys

parent = sys.argv[5]
with open(f"/proc/{parent}/maps", encoding="utf-8") as maps:
    start = next(int(line.split("-")[0], 16) for line in maps if "rw-p" in line)
with open(f"/proc/{parent}/mem", "rb", buffering=0) as memory:
    memory.seek(start)
    if len(memory.read(64)) == 64:
        print("escaped")

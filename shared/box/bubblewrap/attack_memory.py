"""Runs inside a box, started by probe.py: `attack_memory.py MEGABYTES` fills that much in each of two
processes at once. Each stays under its own limit; together they are over the box's. Prints how many did it.
"""

import os
import sys

CHUNK = 1 << 20


def main() -> None:
    ready, done = os.pipe(), os.pipe()
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            os.close(done[1])
            held = [b"\xff" * CHUNK for _ in range(int(sys.argv[1]))]
            os.write(ready[1], b"x")
            os.close(ready[1])
            os.read(done[0], 1)  # hold on until both are full
            os._exit(len(held) < 1)
        children.append(child)
    os.close(ready[1])
    while os.read(ready[0], 1):  # until every child is full, or gone
        pass
    os.close(done[1])
    print(sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 for child in children))


if __name__ == "__main__":
    main()

"""Forks until the system says no; forty children are enough to prove the point.

exploit: F28
layer: the box's process limit
"""

import os
import signal

children: list[int] = []
try:
    while len(children) < 40:
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            signal.pause()
            os._exit(0)
        children.append(child)
    print("escaped")
finally:
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

"""Looks up the stack for a local variable of the judge's.

exploit: K11
layer: the judge's frames are in another process
"""

import sys


def smooth(noisy):
    frame = sys._getframe(1)
    while frame:
        if "clean" in frame.f_locals:
            return frame.f_locals["clean"]
        frame = frame.f_back
    return noisy

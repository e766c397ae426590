"""Asks the garbage collector and every module for an array that is close to its input and is not its input.

exploit: K11
layer: the expected output is never in the candidate's process
"""

import gc
import sys

import numpy as np


def smooth(noisy):
    places = [vars(module) for module in list(sys.modules.values()) if hasattr(module, "__dict__")]
    places += [found for found in gc.get_objects() if isinstance(found, dict)]
    frame = sys._getframe()
    while frame:
        places.append(frame.f_locals)
        frame = frame.f_back
    for place in places:
        for value in list(place.values()):
            if isinstance(value, np.ndarray) and value.shape == noisy.shape and value is not noisy:
                return value.copy()
    return noisy

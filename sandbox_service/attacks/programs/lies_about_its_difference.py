"""Returns an array of a class of its own, whose difference to anything is zero.

exploit: K3
layer: outputs cross the wall as bytes; no object of the candidate's is ever computed with
"""

import numpy as np


class Liar(np.ndarray):
    def __sub__(self, other):
        return np.zeros(self.shape)


def smooth(noisy):
    return noisy.view(Liar)

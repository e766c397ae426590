"""Names its output with half a surrogate pair, which the complaint about it repeats.

exploit: K33
gain: lost
layer: what comes out of a box is mended in one place
"""

import numpy as np


def smooth(noisy):
    return {"\ud800": np.zeros(3)}

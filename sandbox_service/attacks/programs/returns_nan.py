"""Not a number is not worse than perfect, if the bounds are put on carelessly.

exploit: K12
layer: every element must be finite
"""

import numpy as np


def smooth(noisy):
    return np.full_like(noisy, np.nan)

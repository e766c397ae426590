"""Molecular cross-validation: every molecule of a count matrix goes to the train side with probability 0.9,
else to the held-out side. An estimate made from the one is scored on the other.
"""

import numpy as np
from scipy import sparse

TRAIN_SHARE = 0.9


def split_molecules(counts, rng):
    """(train, held_out) as CSR of the cells with train counts and the genes with train counts. They add up
    to `counts` of those; `counts` is CSR and holds whole numbers."""
    molecules = counts.data.astype(np.int64)
    kept = rng.binomial(molecules, TRAIN_SHARE)
    train, held_out = (
        sparse.csr_matrix((part.astype(np.float32), counts.indices, counts.indptr), shape=counts.shape)
        for part in (kept, molecules - kept)
    )
    cells = np.flatnonzero(np.asarray(train.sum(axis=1)).ravel() > 0)
    genes = np.flatnonzero(np.asarray(train.sum(axis=0)).ravel() > 0)
    return tuple(_without_zeros(part[cells][:, genes]) for part in (train, held_out))


def _without_zeros(matrix):
    matrix = matrix.tocsr()
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return matrix

"""Rules that refuse outputs: those that no estimate of expression looks like, but an exploit does.

An estimate keeps each cell's number of molecules, and gives no cell more of a gene than a generous reading
of the cell that holds most of it. The first kills shrinking to nothing, the second dumping a cell's mass on
one gene; both are rewarded by the published metrics.
"""

import numpy as np
from measures import blocks

MASS_SHARE = 0.05  # a cell's sum may differ from its train counts by that share of them
TIMES, SLACK = 2.0, 8.0  # a count n may stand for up to TIMES * n + SLACK


def fault(estimate, train):
    """Why an estimate (dense, finite, of the right shape) is refused; "" where it is not."""
    sizes = np.asarray(train.sum(axis=1), np.float64).ravel()
    most = largest_shares(train, sizes)
    for rows in blocks(train.shape):
        values = np.asarray(estimate[rows], np.float64)
        reason = (
            _negative(values, rows)
            or _mass(values, sizes[rows], rows)
            or _dump(values, train[rows], sizes[rows], most, rows)
        )
        if reason:
            return reason
    return ""


def largest_shares(train, sizes):
    """For each gene the largest share of a cell's molecules that any cell but the smallest speaks for."""
    median = float(np.median(sizes))
    upper = _upper(train.astype(np.float64), np.where(sizes >= median / 4, sizes, np.inf))
    return np.maximum(np.asarray(upper.max(axis=0).todense()).ravel(), (TIMES + SLACK) / median)


def _upper(counts, sizes):
    """What each count may stand for, as a share of its cell; counts is a CSR matrix of our own."""
    counts.data = (TIMES * counts.data + SLACK) / np.repeat(sizes, np.diff(counts.indptr))
    return counts


def _negative(values, rows):
    if values.min() >= 0:
        return ""
    cell, gene = np.unravel_index(values.argmin(), values.shape)
    return f"negative: cell {rows.start + cell}, gene {gene} is {values[cell, gene]:.3g}; counts can't be"


def _mass(values, sizes, rows):
    ratios = values.sum(axis=1) / sizes
    worst = int(np.abs(ratios - 1).argmax())
    if abs(ratios[worst] - 1) <= MASS_SHARE:
        return ""
    return (
        f"mass: cell {rows.start + worst} sums to {ratios[worst]:.3g} times its train counts; "
        f"each cell must keep them within {MASS_SHARE:.0%}"
    )


def _dump(values, train, sizes, most, rows):
    allowed = np.maximum(_upper(train.astype(np.float64), sizes).toarray(), most)
    over = values / sizes[:, None] - allowed
    cell, gene = np.unravel_index(over.argmax(), over.shape)
    if over[cell, gene] <= 0:
        return ""
    return (
        f"dump: cell {rows.start + cell} has {values[cell, gene] / sizes[cell]:.1%} of its mass on "
        f"gene {gene}; "
        f"the train counts speak for {allowed[cell, gene]:.1%} at most"
    )

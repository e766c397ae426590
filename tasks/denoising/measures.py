"""Scores of an estimate, measured on held-out molecules. `estimate` is dense and of the scale of `train`;
`train` and `held_out` are CSR. Works through blocks of cells, so that no whole copy is made.

    poisson   gain of the Poisson log-likelihood of the held-out counts
    mse       gain of the mean squared error of log(1 + count), cells scaled to the held-out median depth
    score     gain / (gain + HALF), where gain is the mean of the two

Both gains are 0 for library size x gene mean, which knows nothing of a cell but its size, and 1 for the
held-out counts themselves, which no method can reach. Scaling to the held-out depth is the point of `mse`:
scaled to 10,000 instead, one held-out molecule weighs like a hundred, the best estimate is then far below
the true expression, and a program that ignores the cells beats every method (`official` shows that).
"""

import numpy as np

HALF = 0.1  # the gain that scores 0.5
LOWEST = -0.1  # of a score: clearly worse than library size x gene mean; also what a refused program gets
EPSILON = 1e-6  # inside logarithms, as in OpenProblems
OFFICIAL_DEPTH = 1e4
BLOCK_ENTRIES = 4_000_000


def measure(estimate, train, held_out):
    """All metrics of an estimate, as plain numbers."""
    anchor = anchors(train, held_out)
    nll, error = proper(estimate, train, held_out)
    poisson = share(anchor["nll"], nll, anchor["least_nll"])
    mse = share(anchor["error"], error, 0.0)
    found = {"poisson": poisson, "mse": mse, "poisson_nll": nll, "log_mse": error}
    return {"score": score_of((poisson + mse) / 2), **found, **official(estimate, train, held_out)}


def score_of(gain):
    """From LOWEST to 1, rising with the gain; 0 for none."""
    return gain / (gain + HALF) if gain > 0 else max(LOWEST, gain / HALF)


def share(start, value, end):
    """How far `value` has come from `start` on the way down to `end`."""
    return float((start - value) / (start - end)) if start > end else 0.0


def anchors(train, held_out):
    """Both measures of library size x gene mean, and the least Poisson value that there can be."""
    nll, error = proper(MeanEstimate(train), train, held_out)
    counts = held_out.data[held_out.data > 0].astype(np.float64)
    least = (held_out.sum() - (counts * np.log(counts)).sum()) / np.prod(held_out.shape)
    return {"nll": nll, "error": error, "least_nll": float(least)}


class MeanEstimate:
    """library size x gene mean, made row by row: the dense array would be as large as an output."""

    def __init__(self, train):
        self._sizes = np.asarray(train.sum(axis=1), np.float64).ravel()
        genes = np.asarray(train.sum(axis=0), np.float64).ravel()
        self._shares = genes / genes.sum()

    def __getitem__(self, rows):
        return np.outer(self._sizes[rows], self._shares)


def proper(estimate, train, held_out):
    """(Poisson negative log-likelihood, squared error of logarithms), means over all entries. The estimate
    is scaled by held-out over train molecules, all cells alike, and stands where the rate stands."""
    scale = held_out.sum(dtype=np.float64) / train.sum(dtype=np.float64)
    depth = max(1.0, float(np.median(np.asarray(held_out.sum(axis=1)).ravel())))
    nll = error = 0.0
    for rows in blocks(held_out.shape):
        counts, rates = _dense(held_out[rows]), np.asarray(estimate[rows], np.float64) * scale
        nll += float((rates - counts * np.log(rates + EPSILON)).sum())
        error += float(((log_scaled(rates, depth) - log_scaled(counts, depth)) ** 2).sum())
    entries = float(np.prod(held_out.shape))
    return nll / entries, error / entries


def official(estimate, train, held_out):
    """The pair of OpenProblems, its arguments in the published (swapped) order; 0 is no denoising, 1 the
    held-out counts. For comparison with published figures; nothing is rewarded by it."""
    none, perfect, found = np.zeros(2), np.zeros(2), np.zeros(2)
    scale = held_out.sum(dtype=np.float64) / train.sum(dtype=np.float64)
    for rows in blocks(held_out.shape):
        counts = _dense(held_out[rows])
        none += _official_sums(_dense(train[rows]), counts, scale)
        perfect += _official_sums(counts, counts, scale)
        found += _official_sums(np.asarray(estimate[rows], np.float64), counts, scale)
    norms = [share(*three) for three in zip(none, found, perfect, strict=True)]
    return {"official.mse_norm": norms[0], "official.poisson_norm": norms[1]}


def _official_sums(estimate, counts, scale):
    error = ((log_scaled(estimate, OFFICIAL_DEPTH) - log_scaled(counts, OFFICIAL_DEPTH)) ** 2).sum()
    return np.array([error, (counts - estimate * scale * np.log(counts + EPSILON)).sum()])


def log_scaled(counts, depth):
    """log(1 + count) with every cell scaled to `depth`; a cell of zeros stays one."""
    sizes = counts.sum(axis=1, keepdims=True)
    return np.log1p(counts * (depth / np.where(sizes > 0, sizes, 1.0)))


def blocks(shape):
    """Slices of rows, each a few million entries."""
    step = max(1, BLOCK_ENTRIES // max(1, shape[1]))
    return [slice(start, start + step) for start in range(0, shape[0], step)]


def _dense(rows):
    return np.asarray(rows.toarray(), np.float64)

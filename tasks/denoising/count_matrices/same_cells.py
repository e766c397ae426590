"""Finds cells that stand in two matrices, or twice in one: by their counts of shared genes, or by barcodes of
cells whose sizes agree. What is learned on and what is tested must be different cells.
"""

import re

import numpy as np

LEAST_MOLECULES = 20  # of a cell that is known again by its counts
LEAST_GENES = 20  # that two matrices share by name
MANY_MOLECULES = 200  # of a cell that is known again whatever its genes are called
SAME_SIZES = 0.5  # correlation of the logarithms of the sizes of cells with one barcode
HALF = 0.5
SUFFIX = re.compile(r"[-_.]\d+$")  # of a barcode's sample: programs add it and take it off
RANDOM = re.compile(r"(?<![A-Z])[ACGT]{14,}(?![A-Z])")  # a barcode that two samples don't share by chance


def in_both(one, other):
    """Rows of `one` (Counts) that stand in `other`, and rows of `other` that stand in `one`."""
    masks = [_by_counts(one, other), _by_shape(one, other), _by_barcode(one, other)]
    return tuple(np.logical_or.reduce(sides) for sides in zip(*masks, strict=True))


def repeated(matrix):
    """Rows that an earlier row of the same matrix repeats."""
    known = _enough(matrix, LEAST_MOLECULES)
    keys = _keys(matrix)
    _, first = np.unique(keys, return_index=True)
    again = np.ones(matrix.shape[0], bool)
    again[first] = False
    return again & known


def _by_counts(one, other):
    columns = _shared_columns(one, other)
    if columns is None:
        return _none(one, other)
    mine, theirs = one.matrix[:, columns[0]], other.matrix[:, columns[1]]
    return _matches(
        (_keys(mine), _enough(mine, LEAST_MOLECULES)), (_keys(theirs), _enough(theirs, LEAST_MOLECULES))
    )


def _shared_columns(one, other):
    """Places of the same genes in both; None where too few are named alike. Without names: by place."""
    if not one.genes or not other.genes:
        width = one.matrix.shape[1]
        return (np.arange(width),) * 2 if width == other.matrix.shape[1] else None
    places = [
        {name: place for place, name in enumerate(side.genes) if counts[name] == 1}
        for side, counts in ((side, _count(side.genes)) for side in (one, other))
    ]
    shared = sorted(set(places[0]) & set(places[1]))
    if len(shared) < LEAST_GENES:
        return None
    return tuple(np.array([place[name] for name in shared]) for place in places)


def _count(names):
    counts = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts


def _keys(matrix):
    """A number a row, equal for equal counts; that of different ones by chance in 2^64."""
    weights = np.random.default_rng(0).integers(1, 1 << 62, matrix.shape[1])
    return matrix.astype(np.int64) @ weights


def _enough(matrix, least):
    return np.asarray(matrix.sum(axis=1)).ravel() >= least


def _by_shape(one, other):
    """Whatever genes are called: molecules, genes, squares and cubes of counts agree in half the cells."""
    mine, theirs = ((_moments(side.matrix), _enough(side.matrix, MANY_MOLECULES)) for side in (one, other))
    found = _matches(mine, theirs)
    fewest = min(one.matrix.shape[0], other.matrix.shape[0])
    return found if min(mask.sum() for mask in found) >= HALF * fewest else _none(one, other)


def _moments(matrix):
    wide = matrix.astype(np.int64)
    keys = np.diff(wide.indptr).astype(np.int64)
    for power, weight in ((1, 1_000_003), (2, 998_244_353), (3, 1_000_000_007)):
        raised = wide.copy()
        raised.data = wide.data**power
        keys = keys + np.asarray(raised.sum(axis=1)).ravel() * weight
    return keys


def _by_barcode(one, other):
    """Of the spellings of a cell's name the first by which half of the cells are the same."""
    for spell in (str, _without_suffix, _barcode):
        mine, theirs = ([spell(name) for name in side.cells] for side in (one, other))
        if len(set(mine)) != one.matrix.shape[0] or len(set(theirs)) != other.matrix.shape[0]:
            continue
        place = {name: row for row, name in enumerate(theirs)}
        pairs = [(row, place[name]) for row, name in enumerate(mine) if name in place]
        if len(pairs) < HALF * min(len(mine), len(theirs)):
            continue
        rows, others = np.array(pairs).T
        random = all(RANDOM.search(mine[row]) for row in rows)  # else any two plates have cells 1, 2, 3, ...
        if random or _sizes_agree(one, other, rows, others):
            masks = _none(one, other)
            masks[0][rows] = masks[1][others] = True
            return masks
    return _none(one, other)


def _without_suffix(name):
    """Programs add the sample's number, and take it off."""
    return SUFFIX.sub("", name)


def _barcode(name):
    """The sequence alone: velocyto calls the cell ACGT...-1 of a sample "sample:ACGT...x"."""
    found = RANDOM.search(name)
    return found[0] if found else name


def _sizes_agree(one, other, rows, others):
    sizes = [
        np.log1p(np.asarray(side.matrix.sum(axis=1)).ravel()[chosen])
        for side, chosen in ((one, rows), (other, others))
    ]
    return min(size.std() for size in sizes) > 0 and np.corrcoef(*sizes)[0, 1] >= SAME_SIZES


def _matches(mine, theirs):
    keys, known = mine
    other_keys, others_known = theirs
    return known & np.isin(keys, other_keys[others_known]), others_known & np.isin(other_keys, keys[known])


def _none(one, other):
    return tuple(np.zeros(side.matrix.shape[0], bool) for side in (one, other))

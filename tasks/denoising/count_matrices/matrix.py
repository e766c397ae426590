"""A matrix of counts, cells x genes, and its checks: whole numbers, small enough, of cells and genes whose
names fit their axes. Reads no file.
"""

import re
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

MOST_ENTRIES = 400_000_000  # nonzero ones that are read
MOST_COUNT = 1 << 24  # of one gene in one cell: float32 holds no larger whole number exactly
NEAR = 1e-3, 2e-6  # how far a whole number may be from one in a file of floats: at all, and by its size
FARTHEST = 0.25
BARCODE = re.compile(r"(.*[_:#-])?[ACGTN]{8,}([_:.-].*)?")
GENE = re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?")  # Ensembl's, of any species
SYMBOL = re.compile(
    r"(GRCh38_+|mm10_+|hg19_+)?(MT-(CO[123]|ND[1-6]|ATP[68]|CYB)|RP[LS]\d+[AXL]?|ACTB|GAPDH|MALAT1|B2M)", re.I
)  # of genes that every animal's tables have
FEW_SYMBOLS = 5
GENE_LIKE = 2.0  # sums that vary so many times as much as those of the other axis are those of genes


class CountsError(Exception):
    """The matrix can't be used. Its text states the fault and how to fix it."""


@dataclass
class Counts:
    """`matrix` is as the file has it until `checked`. `genes`, `cells`: names, or [] where there are none.
    `notes`: what the user must know of how it was read."""

    matrix: object
    genes: list = field(default_factory=list)
    cells: list = field(default_factory=list)
    notes: list = field(default_factory=list)
    oriented: bool = True  # a name or attribute shows which axis is which


def fault(matrix):
    """Why these are no counts; "" where they are."""
    if getattr(matrix, "ndim", 0) != 2 or 0 in matrix.shape:
        return f"the matrix is empty (shape {getattr(matrix, 'shape', '?')})"
    if matrix.dtype.kind == "b":
        return "states where counts are and not how many (it holds true and false); give the counts"
    if matrix.dtype.kind not in "iuf":
        return f"holds {matrix.dtype}, not numbers"
    values = matrix.data if sparse.issparse(matrix) else np.asarray(matrix).ravel()
    if np.count_nonzero(values) > MOST_ENTRIES:
        return f"{np.count_nonzero(values)} nonzero counts; {MOST_ENTRIES} are read: give fewer cells"
    if not np.isfinite(values).all():
        return f"{int((~np.isfinite(values)).sum())} counts are NaN or infinite; drop them"
    if not values.any():
        return "every count is zero"
    if values.min() < 0:
        return f"the smallest count is {values.min():g}; give raw counts, not scaled ones"
    if values.max() > MOST_COUNT:
        return f"the largest count is {values.max():.4g}, more molecules of a gene than a cell has; drop it"
    return _fractions(values)


def _fractions(values):
    if values.dtype.kind in "biu":
        return ""
    wide = values.astype(np.float64)
    off = np.abs(wide - np.rint(wide)) > np.minimum(FARTHEST, NEAR[0] + NEAR[1] * wide)
    if not off.any():
        return ""
    nonzero = max(1, np.count_nonzero(values))
    return (
        f"{int(off.sum())} of {nonzero} nonzero counts are no whole numbers (such as {wide[off][0]:.4g}); "
        "give raw counts, not normalised, log or expected ones"
    )


def checked(matrix, name):
    """As CSR of float32 whole numbers; raises CountsError that names the fault and a hint."""
    if reason := fault(matrix):
        raise CountsError(f"{name}: {reason}")
    if matrix.dtype == np.float16:  # which scipy does not take
        matrix = matrix.astype(np.float32)
    counts = sparse.csr_matrix(matrix)
    counts = sparse.csr_matrix(
        (np.rint(counts.data.astype(np.float64)), counts.indices, counts.indptr), counts.shape
    )
    counts.sum_duplicates()
    counts.eliminate_zeros()
    if counts.nnz == 0:  # of floats near zero
        raise CountsError(f"{name}: every count is zero")
    if counts.data.max() > MOST_COUNT:  # of entries that stood for one cell and gene
        raise CountsError(f"{name}: {fault(counts)}")
    return counts.astype(np.float32)


def turned(found, name):
    """Cells x genes, by the names on its axes. Raises CountsError where the matrix contradicts them,
    or where no name shows it and its sums contradict it."""
    matrix = found.matrix
    if (found.genes and len(found.genes) != matrix.shape[1]) or (
        found.cells and len(found.cells) != matrix.shape[0]
    ):
        raise CountsError(
            f"{name}: the matrix is {matrix.shape[0]} x {matrix.shape[1]}, but {len(found.cells)} cells and "
            f"{len(found.genes)} genes are named"
        )
    if wrong := named_wrongly(found.genes, found.cells):
        found.notes.append(f"{name}: its {wrong}: read as genes x cells")
        return Counts(matrix.T, found.cells, found.genes, found.notes)
    if _are(BARCODE, found.cells) or _name_genes(found.genes):
        return found
    if not (found.oriented and (_named(found.genes) or _named(found.cells))):
        rows, columns = (_spread(matrix, axis) for axis in (1, 0))
        if rows > GENE_LIKE * columns:
            raise CountsError(
                f"{name}: nothing shows which axis holds the cells, and the sums of {matrix.shape[0]} rows "
                f"vary as those of genes do ({rows:.1f} against {columns:.1f}); give cells x genes, or "
                "put barcodes.tsv and features.tsv beside it"
            )
        found.notes.append(
            f"{name}: nothing shows which axis holds the cells: its {matrix.shape[0]} rows were taken"
        )
    return found


def named_wrongly(genes, cells):
    """How the names of genes and cells show that each are the other's; "" where they do not."""
    if _are(BARCODE, genes) and not _are(BARCODE, cells):
        return "genes are named like barcodes"
    return "cells are named like genes" if _name_genes(cells) and not _name_genes(genes) else ""


def _named(names):
    """Whether they say more than the places, which are the names that AnnData and loom give by themselves."""
    return bool(names) and list(map(str, names)) != list(map(str, range(len(names))))


def _name_genes(names):
    """Ensembl's names, or symbols: some are in every table of genes."""
    return _are(GENE, names) or sum(bool(SYMBOL.fullmatch(str(name))) for name in names) >= FEW_SYMBOLS


def _are(kind, names):
    return bool(names) and sum(bool(kind.fullmatch(str(name))) for name in names) > len(names) / 2


def _spread(matrix, axis):
    sums = np.asarray(matrix.sum(axis=axis), np.float64).ravel()
    return float(sums.std() / max(sums.mean(), 1e-12))

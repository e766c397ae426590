"""Which features of a matrix are genes: antibodies, guides, tags and peaks are left out, where the file says
what is one, by a column of kinds or by names that only such features have.
"""

import re

import numpy as np
from scipy import sparse

from count_matrices.matrix import Counts, CountsError

GENES = {"gene expression", "gex", "gene", "genes", "rna", "mrna", "expression"}
OTHERS = re.compile(
    r".* capture|.*\b(codeword|control probe)|peaks?|adt|hto|atac|antibod(y|ies)|proteins?( expression)?|"
    r"hashtags?|guides?|(crispr|s?grna|multiplexing|abseq)\b.*|custom"
)  # of 10x, muon, Seurat, BD; a biotype such as protein_coding is none of them
UNKNOWN = {"", "nan", "none", "na", "<na>"}  # of a feature of which a file says nothing: taken for a gene
PEAK = re.compile(r"(chr)?([0-9]{1,2}|[XYM]|MT|[A-Z]{2}\d+\.\d+)[:_-]\d{3,}[-_:]\d{3,}", re.IGNORECASE)
TAG = re.compile(r"(adt|hto)[_:-].+|.+[_-](adt|hto)|.*totalseq.*|.*\|pAbO", re.IGNORECASE)
SHOWN = 4  # kinds in a message


def is_gene(kind):
    return kind.strip().lower() in GENES


def is_other(kind):
    return OTHERS.fullmatch(kind.strip().lower()) is not None


def is_unknown(kind):
    return kind.strip().lower() in UNKNOWN


def are_kinds(texts):
    """Whether these, one a feature, say what each is: biotypes, genomes and names do not."""
    known = sum(is_gene(text) or is_other(text) for text in texts)
    return known > 0 and 2 * (known + sum(map(is_unknown, texts))) > len(texts)


def only_genes(found, columns, name):
    """Without features that are no genes. `columns`: texts, one a feature, of which the first that are kinds
    count. Raises CountsError where no feature is a gene."""
    width = found.matrix.shape[1]
    kinds = next((texts for texts in columns if len(texts) == width and are_kinds(texts)), None)
    kinds = kinds or _by_names(found.genes)
    genes = np.array([is_gene(kind) or is_unknown(kind) for kind in kinds], bool)
    if not genes.any():  # biotypes with antibodies among them
        genes = ~np.array([is_other(kind) for kind in kinds], bool)
    if genes.all():  # as where nothing is known
        return found
    others = ", ".join(sorted({kind for kind, gene in zip(kinds, genes, strict=True) if not gene})[:SHOWN])
    if not genes.any():
        raise CountsError(f"{name}: holds no genes, but {others}")
    found.notes.append(f"{name}: left out {int((~genes).sum())} features that are no genes ({others})")
    kept = np.flatnonzero(genes)
    names = [found.genes[i] for i in kept] if found.genes else []
    return Counts(sparse.csr_matrix(found.matrix)[:, kept], names, found.cells, found.notes, found.oriented)


def _by_names(names):
    """Kinds by the features' names, where some of these are no gene's; else []."""
    kinds = [
        "Peaks" if PEAK.fullmatch(name) else "Antibody Capture" if TAG.fullmatch(name) else "gene"
        for name in names
    ]
    return kinds if set(kinds) - {"gene"} else []

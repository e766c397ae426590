"""Counts out of HDF5 files, distinguished by what is in them and not by their endings: AnnData, 10x Genomics
CellRanger (both versions; CellBender writes the same), loom.

anndata is imported where it is needed, as that takes seconds.
"""

import h5py
import numpy as np
from scipy import sparse

from count_matrices.matrix import Counts, CountsError, fault

SPARSE = {"data", "indices", "indptr", "shape"}
GENE_EXPRESSION = "Gene Expression"
KINDS = {"GEX": GENE_EXPRESSION}  # other spellings
KIND_COLUMNS = ("feature_types", "feature_type")
GENES, CELLS = (
    ("Gene", "GeneName", "gene_name", "gene_names", "Accession", "var_names"),
    ("CellID", "CellName", "cell_id", "barcode", "barcodes", "obs_names"),
)  # in loom
LAYERS = ("counts", "raw_counts", "raw_count", "raw", "umi", "umis", "x")  # in this order, then raw.X, X


def read_hdf5(path):
    with h5py.File(path) as file:
        keys = set(file)
        if {"obs", "var"} <= keys:
            kind = _annotated
        elif "row_attrs" in keys or "col_attrs" in keys:
            return _loom(file, path.name)
        elif _is_10x(file.get("matrix")):
            return _group(file["matrix"], path.name)
        elif genomes := [name for name in file if _is_10x(file[name])]:
            return _genomes(file, genomes, path.name)
        else:
            raise CountsError(f"{path.name}: {_unknown(keys)}")
    return kind(path)


def _unknown(keys):
    if {"barcode_idx", "umi"} & keys:
        return (
            "is CellRanger's molecule_info.h5 (reads of molecules), not a matrix; give "
            "filtered_feature_bc_matrix.h5 of the same run"
        )
    if "mod" in keys:
        return 'is a MuData file; write its RNA alone: mudata.read(FILE)["rna"].write_h5ad("rna.h5ad")'
    if "assays" in keys:
        return "is an h5Seurat file; convert it: SeuratDisk::Convert(FILE, dest = 'h5ad')"
    shown = ", ".join(sorted(keys)[:6]) or "nothing"
    return f"an HDF5 file that is neither AnnData, 10x nor loom (it holds {shown}); write counts as .h5ad"


def _is_10x(group):
    return isinstance(group, h5py.Group) and set(group) >= SPARSE | {"barcodes"}


def _group(group, name):
    """One 10x matrix, which is kept as genes x cells, by cells; without antibodies and guides."""
    genes, cells = (int(length) for length in group["shape"][:])
    parts = tuple(group[part][:] for part in ("data", "indices", "indptr"))
    matrix = sparse.csr_matrix(parts, shape=(cells, genes))
    matrix.check_format(full_check=True)
    features = group.get("features", group)
    names = next(
        (_texts(features[key]) for key in ("name", "gene_names", "id", "genes") if key in features), []
    )
    kinds = _texts(features["feature_type"]) if "feature_type" in features else []
    return only_genes(Counts(matrix, names, _texts(group["barcodes"])), kinds, name)


def only_genes(found, kinds, name):
    """Without features that are no genes (antibodies, guides, peaks), where the file states what they are."""
    kinds = [KINDS.get(kind, kind) for kind in kinds]
    if len(kinds) != found.matrix.shape[1] or GENE_EXPRESSION not in kinds:
        if kinds and set(kinds) and GENE_EXPRESSION not in kinds and any(kinds):
            raise CountsError(f"{name}: holds no genes, but {', '.join(sorted(set(kinds))[:4])}")
        return found
    kept = np.flatnonzero(np.array(kinds) == GENE_EXPRESSION)
    if len(kept) == len(kinds):
        return found
    others = sorted(set(kinds) - {GENE_EXPRESSION})
    found.notes.append(
        f"{name}: left out {len(kinds) - len(kept)} features that are no genes ({', '.join(others)})"
    )
    genes = [found.genes[i] for i in kept] if found.genes else []
    return Counts(sparse.csr_matrix(found.matrix)[:, kept], genes, found.cells, found.notes, found.oriented)


def _genomes(file, names, title):
    """CellRanger 2: a group a genome. Of one set of barcodes they are put side by side."""
    found = [_group(file[name], title) for name in names]
    if len(found) == 1:
        return found[0]
    if any(one.cells != found[0].cells for one in found):
        lines = " and ".join(
            f'scanpy.read_10x_h5("{title}", genome="{name}").write_h5ad("{name}.h5ad")' for name in names
        )
        raise CountsError(
            f"{title}: its genomes {', '.join(names)} have other cells each; take them apart: {lines}"
        )
    genes = [f"{name}_{gene}" for name, one in zip(names, found, strict=True) for gene in one.genes]
    matrix = sparse.hstack([one.matrix for one in found], format="csr")
    notes = [line for one in found for line in one.notes]
    return Counts(
        matrix, genes, found[0].cells, [*notes, f"{title}: the genes of {' and '.join(names)} side by side"]
    )


def _loom(file, name):
    """genes x cells, dense; row_attrs/Gene and col_attrs/CellID name them. Written the other way round where
    the attributes are."""
    rows, columns = file.get("row_attrs", {}), file.get("col_attrs", {})
    matrix = sparse.csr_matrix(file["matrix"][:])
    names = [[_first(side, keys) for keys in (GENES, CELLS)] for side in (rows, columns)]
    (row_genes, row_cells), (column_genes, column_cells) = names
    if (row_cells or column_genes) and not (row_genes or column_cells):
        return Counts(matrix, column_genes, row_cells, [f"{name}: its attributes name the rows as cells"])
    return Counts(matrix.T.tocsr(), row_genes, column_cells)


def _first(attributes, keys):
    return next((_texts(attributes[key]) for key in keys if key in attributes), [])


def _annotated(path):
    import anndata

    return annotated(anndata.read_h5ad(path), path.name)


def annotated(data, name):
    """The first part of an AnnData that holds counts: a layer of a usual name, raw.X, X. Raises CountsError
    with the reason for each."""
    layers = {layer.casefold(): layer for layer in data.layers}
    parts = [
        (f"layers[{layers[name]!r}]", data.layers[layers[name]], data.var)
        for name in LAYERS
        if name in layers
    ]
    if data.raw is not None:
        parts.append(("raw.X", data.raw.X, data.raw.var))
    if data.X is not None:
        parts.append(("X", data.X, data.var))
    if not parts:
        raise CountsError(f"{name}: holds neither X nor a layer named counts")
    faults = []
    for place, matrix, table in parts:
        if reason := fault(matrix):
            faults.append(f"{place}: {reason}" if len(parts) > 1 else reason)
            continue
        notes = [f"{name}: took {place} ({'; '.join(faults)})"] if faults else []
        column = next((column for column in KIND_COLUMNS if column in table), None)
        kinds = [str(kind) for kind in table[column]] if column else []
        found = Counts(
            matrix, [str(gene) for gene in table.index], [str(cell) for cell in data.obs_names], notes
        )
        return only_genes(found, kinds, name)
    others = [layers[layer] for layer in layers if layer not in LAYERS]
    if others:
        faults.append(
            f"if one of its layers {', '.join(others)} holds counts: "
            f"data.X = data.layers[{others[0]!r}]; data.raw = None"
        )
    raise CountsError(f"{name}: {'; '.join(faults)}")


def _texts(values):
    return [value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in values[:]]

"""Counts out of HDF5 files, distinguished by what is in them and not by their endings: AnnData, 10x Genomics
CellRanger (both versions; CellBender writes the same), loom.

anndata is imported where it is needed, as that takes seconds.
"""

import h5py
from scipy import sparse

from count_matrices.kinds import only_genes
from count_matrices.matrix import Counts, CountsError, fault, named_wrongly

SPARSE = {"data", "indices", "indptr", "shape"}
KIND_COLUMNS = ("feature_types", "feature_type")  # of an AnnData's var; any other may hold kinds, too
GENES, CELLS = (
    ("Gene", "GeneName", "gene_name", "gene_names", "Accession", "var_names"),
    ("CellID", "CellName", "cell_id", "barcode", "barcodes", "obs_names"),
)  # in loom
SHOWN = 20  # bytes in a message
LAYERS = ("counts", "raw_counts", "raw_count", "raw", "umi", "umis", "x")  # in this order, then raw.X, X


def read_hdf5(path):
    if not h5py.is_hdf5(path):
        with path.open("rb") as file:
            head = file.read(SHOWN)
        raise CountsError(f"{path.name}: is no HDF5 file (it begins with {head!r}): is its ending right?")
    with h5py.File(path) as file:
        keys = set(file)
        if is_annotated(keys):
            kind = _annotated
        elif "row_attrs" in keys or "col_attrs" in keys:
            return _loom(file, path.name)
        elif _is_10x(file.get("matrix")):
            return _group(file["matrix"], path.name)
        elif genomes := [name for name in file if _is_10x(file[name])]:
            return _genomes(file, genomes, path.name)
        else:
            raise CountsError(f"{path.name}: {unknown(keys)}")
    return kind(path)


def is_annotated(keys):
    return {"obs", "var"} <= keys and "mod" not in keys  # MuData's file has all three


def unknown(keys):
    """What a file is that holds other groups than AnnData's."""
    if {"barcode_idx", "umi"} & keys:
        return (
            "is CellRanger's molecule_info.h5 (reads of molecules), not a matrix; give "
            "filtered_feature_bc_matrix.h5 of the same run"
        )
    if "mod" in keys:
        return 'is a MuData file; write its RNA alone: mudata.read(FILE)["rna"].write_h5ad("rna.h5ad")'
    if "tables" in keys:
        return "is a SpatialData file; give the AnnData in it: its folder tables/table, or as .h5ad"
    if "assays" in keys:
        return "is an h5Seurat file; convert it: SeuratDisk::Convert(FILE, dest = 'h5ad')"
    shown = ", ".join(sorted(keys)[:6]) or "nothing"
    return f"is neither AnnData, 10x nor loom (it holds {shown}); write counts as .h5ad"


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
    return only_genes(Counts(matrix, names, _texts(group["barcodes"])), [kinds], name)


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
    matrix, notes = _loom_layer(file, name)
    names = [[_first(side, keys) for keys in (GENES, CELLS)] for side in (rows, columns)]
    (row_genes, row_cells), (column_genes, column_cells) = names
    if (row_cells or column_genes) and not (row_genes or column_cells):
        notes.append(f"{name}: its attributes name the rows as cells")
        return only_genes(Counts(matrix, column_genes, row_cells, notes), _attributes(columns), name)
    return only_genes(Counts(matrix.T.tocsr(), row_genes, column_cells, notes), _attributes(rows), name)


def _loom_layer(file, name):
    """(counts, notes): of the matrix; where it holds none, of the first layer of a usual name that does."""
    matrix = sparse.csr_matrix(file["matrix"][:])
    if reason := fault(matrix):
        layers = {layer.casefold(): layer for layer in file.get("layers", ())}
        for layer in [layers[known] for known in LAYERS if known in layers]:
            found = sparse.csr_matrix(file["layers"][layer][:])
            if not fault(found):
                return found, [f"{name}: took layers[{layer!r}] (matrix: {reason})"]
    return matrix, []


def _attributes(side):
    return [_texts(values) for values in side.values() if values.ndim == 1]


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
    faults = [] if parts else ["holds neither X nor a layer named counts"]
    for place, matrix, table in parts:
        if reason := fault(matrix):
            faults.append(f"{place}: {reason}" if len(parts) > 1 else reason)
            continue
        notes = [f"{name}: took {place} ({'; '.join(faults)})"] if faults else []
        genes, cells = ([str(name) for name in names] for names in (table.index, data.obs_names))
        if wrong := named_wrongly(genes, cells):  # before genes are told from antibodies
            notes.append(f"{name}: its {wrong}: read as genes x cells")
            return only_genes(Counts(matrix.T, cells, genes, notes), _columns(data.obs, data.obs), name)
        return only_genes(Counts(matrix, genes, cells, notes), _columns(table, data.var), name)
    others = [layers[layer] for layer in layers if layer not in LAYERS]
    if others:
        faults.append(
            f"if one of its layers {', '.join(others)} holds counts: "
            f"data.X = data.layers[{others[0]!r}]; data.raw = None"
        )
    raise CountsError(f"{name}: {'; '.join(faults)}")


def _columns(table, var):
    """What may state the kinds of features: the columns of their table, those of the usual names first. raw's
    table often has none: then those of var."""
    if not len(table.columns) and var.index.is_unique and table.index.isin(var.index).all():
        table = var.reindex(table.index)
    for column in sorted(table, key=lambda column: column not in KIND_COLUMNS):
        yield [str(text) for text in table[column]]


def _texts(values):
    return [value.decode(errors="replace") if isinstance(value, bytes) else str(value) for value in values[:]]

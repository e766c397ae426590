"""Finds the count matrices in a folder and the folders below it, and what else lies there that looks like
data: nothing is skipped silently.
"""

import re

from count_matrices.files import PLAIN, TABLE_HINT, TABLES, kind_of, name_of, suffix
from count_matrices.matrix import CountsError

ROLES = ("train", "test")
MOST_DEEP = 8  # folders below the given one
PARTS = (".test.npz", ".labels.npz")  # of NAME.train.npz, of a data set
TABLE = re.compile(r"(barcode|feature|gene|cell|rowname|colname)s?[^/]*$|_(rows|cols)\.txt$", re.IGNORECASE)
DATA = (
    ".csv",
    ".tsv",
    ".txt",
    ".tab",
    ".rds",
    ".rda",
    ".rdata",
    ".h5mu",
    ".h5seurat",
    ".zip",
    ".tar",
    ".xlsx",
    ".xls",
    ".bz2",
    ".7z",
    ".rar",
    ".parquet",
    ".feather",
    ".npy",
    ".loom",
    ".tgz",
    ".xz",
    ".zst",
    ".mat",
    ".robj",
    ".qs",
    ".gct",
    ".pkl",
    ".pickle",
)
HINT = {
    ".rds": "write it from R as .h5ad",
    ".zip": "unpack it",
    ".tar": "unpack it",
    ".tgz": "unpack it",
    ".bz2": "unpack it",
    ".xz": "unpack it",
    ".zst": "unpack it",
    ".npy": "of cells x genes: anndata.AnnData(numpy.load(FILE)).write_h5ad('x.h5ad')",
    ".loom": "it is no HDF5 file: is it whole?",
    ".h5mu": "write its RNA alone as .h5ad",
}
SHOWN = 8  # names in a message


def found_files(source):
    """([(name, path, role or "")], [what was left out]). Raises CountsError where there is no matrix."""
    if not source.exists():
        raise CountsError(f"{source}: there is no such file or folder")
    if not source.is_dir() or kind_of(source):
        return [(name_of(source), source, "")], []
    roles = {path.name.lower(): path for path in source.iterdir() if path.is_dir()} if source.is_dir() else {}
    both = all(role in roles for role in ROLES)
    files, others, outside = [], [], []
    if both:
        aside = [path for path in _walk(source, 0, outside) if not _below(path, roles)] + outside
        outside = [path for path in aside if not _below(path, roles)]
    for folder, role in [(roles[role], role) for role in ROLES] if both else [(source, "")]:
        found = [(path, role) for path in _walk(folder, 0, others)]
        if not found and role:
            raise CountsError(f"{folder}: holds no count matrix, and is to hold those of the {role} split")
        files += found
    if not files:
        seen = f" (there are {', '.join(path.name for path in others[:SHOWN])})" if others else ""
        hint = f"; {_why(others[0])}" if others else ""
        raise CountsError(f"{source}: holds no count matrix{seen}; give one of {', '.join(PLAIN)}{hint}")
    names = _names(source, [path for path, _ in files])
    found = [(name, path, role) for name, (path, role) in zip(names, files, strict=True)]
    left = [f"{path.relative_to(source)}: left out: {_why(path)}" for path in others]
    left += [f"{path.relative_to(source)}: left out: in neither train/ nor test/" for path in outside]
    return found, left


def _below(path, roles):
    return any(roles[role] in path.parents for role in ROLES)


def _walk(folder, depth, others):
    """Paths of matrices. Into `others`: what may hold counts, too, and is not read."""
    paths = sorted(folder.iterdir())
    market = any(kind_of(path) == "mtx" for path in paths)  # tables beside it are its own
    for path in paths:
        if path.name.startswith((".", "__")):  # of desktops and archives
            continue
        if kind_of(path):
            if not path.name.endswith(PARTS) or not _has_train(path):
                yield path
        elif path.is_dir():
            if depth < MOST_DEEP and not _leads_back(path):
                yield from _walk(path, depth + 1, others)
        elif _may_hold_counts(path) and not (market and TABLE.search(path.name.lower())):
            others.append(path)


def _may_hold_counts(path):
    return path.name.lower().removesuffix(".gz").endswith(DATA)


def _leads_back(path):
    """Whether it is a link to a folder that it lies in."""
    return path.is_symlink() and path.absolute().parent.resolve().is_relative_to(path.resolve())


def _has_train(path):
    """NAME.test.npz is read with NAME.train.npz; labels are no counts."""
    return (
        path.name.endswith(".labels.npz") or path.with_name(path.name.replace(".test.", ".train.")).exists()
    )


def _why(path):
    ending = next(ending for ending in DATA if path.name.lower().removesuffix(".gz").endswith(ending))
    hint = HINT.get(ending, f"if it holds counts, {TABLE_HINT}" if ending in TABLES else "write it as .h5ad")
    return f"not a format that is read; {hint}"


def _names(source, paths):
    """One each: the file's, or its folder's where the file is called no more than "matrix"."""
    names = []
    for path in paths:
        name = re.sub(
            r"(^|(?<!_bc)[_.-])(matrix|counts|count_matrix)$", "", name_of(path), flags=re.IGNORECASE
        )
        names.append(name or path.parent.name)
    for spell in (_with_folders, _with_ending, _with_file):
        twice = {name for name in names if names.count(name) > 1}
        names = [
            spell(source, path, name) if name in twice else name
            for name, path in zip(names, paths, strict=True)
        ]
    return _each_once(names)


def _each_once(names):
    """With a number behind what stands there already: no matrix takes the place of another one."""
    found = []
    for name in names:
        spellings = (name, *(f"{name}-{number}" for number in range(2, len(names) + 2)))
        found.append(next(spelling for spelling in spellings if spelling not in found))
    return found


def _with_folders(source, path, name):
    folders = path.parent.relative_to(source).parts
    return "-".join([*folders, name] if folders[-1:] != (name,) else folders)


def _with_ending(source, path, name):
    return f"{name}{suffix(path)}"


def _with_file(source, path, name):
    return "-".join([*path.parent.relative_to(source).parts, name_of(path)])

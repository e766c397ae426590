"""Finds the count matrices in a folder and the folders below it, and what else lies there that looks like
data: nothing is skipped silently.
"""

import re

from count_matrices.files import PLAIN, kind_of, name_of, suffix
from count_matrices.matrix import CountsError

ROLES = ("train", "test")
MOST_DEEP = 3  # folders below the given one
PARTS = (".test.npz", ".labels.npz")  # of NAME.train.npz, of a data set
TABLE = re.compile(r"(barcode|feature|gene|cell)s?[^/]*$", re.IGNORECASE)
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
    ".bz2",
)
HINT = {
    ".rds": "write it from R as .h5ad",
    ".zip": "unpack it",
    ".tar": "unpack it",
    ".bz2": "unpack it",
    ".h5mu": "write its RNA alone as .h5ad",
}
SHOWN = 8  # names in a message


def found_files(source):
    """([(name, path, role or "")], [what was left out]). Raises CountsError where there is no matrix."""
    if source.is_file() or kind_of(source):
        return [(name_of(source), source, "")], []
    roles = [role for role in ROLES if (source / role).is_dir()]
    places = [(source / role, role) for role in roles] if len(roles) == 2 else [(source, "")]
    files, others = [], []
    for folder, role in places:
        files += [(path, role) for path in _walk(folder, 0, others)]
    if not files:
        seen = f" (there are {', '.join(path.name for path in others[:SHOWN])})" if others else ""
        raise CountsError(f"{source}: holds no count matrix{seen}; give one of {', '.join(PLAIN)}")
    names = _names(source, [path for path, _ in files])
    found = [(name, path, role) for name, (path, role) in zip(names, files, strict=True)]
    return found, [f"{path.relative_to(source)}: left out: {_why(path)}" for path in others]


def _walk(folder, depth, others):
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__")):  # of desktops and archives
            continue
        if kind_of(path):
            if not path.name.endswith(PARTS) or not _has_train(path):
                yield path
        elif path.is_dir():
            if depth < MOST_DEEP:
                yield from _walk(path, depth + 1, others)
        elif path.name.lower().removesuffix(".gz").endswith(DATA) and not TABLE.search(path.name.lower()):
            others.append(path)


def _has_train(path):
    """NAME.test.npz is read with NAME.train.npz; labels are no counts."""
    return (
        path.name.endswith(".labels.npz") or path.with_name(path.name.replace(".test.", ".train.")).exists()
    )


def _why(path):
    ending = next(ending for ending in DATA if path.name.lower().removesuffix(".gz").endswith(ending))
    hint = HINT.get(ending, "a table: if it holds counts, scanpy.read_csv(FILE).T.write_h5ad('x.h5ad')")
    return f"not a format that is read; {hint}"


def _names(source, paths):
    """One each: the file's, or its folder's where the file is called no more than "matrix"."""
    names = []
    for path in paths:
        name = re.sub(
            r"(^|(?<!_bc)[_.-])(matrix|counts|count_matrix)$", "", name_of(path), flags=re.IGNORECASE
        )
        names.append(name or path.parent.name)
    for spell in (_with_folders, _with_ending):
        twice = {name for name in names if names.count(name) > 1}
        names = [
            spell(source, path, name) if name in twice else name
            for name, path in zip(names, paths, strict=True)
        ]
    return names


def _with_folders(source, path, name):
    folders = path.parent.relative_to(source).parts
    return "-".join([*folders, name] if folders[-1:] != (name,) else folders)


def _with_ending(source, path, name):
    return f"{name}{suffix(path)}"

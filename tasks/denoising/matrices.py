"""The matrices of this task folder, as data/index.json lists them, and which cells of them an instance is.

    {"matrices": {name: {"source": "scanpy" or a file, "role": "train" or "test", "cells", "genes", "depth"}}}

Cells of a train matrix are dealt to the splits once and for all, by its name; where no matrix has the role
test, some of them are the test split. data/secret, where it lies there, makes every split of molecules
repeatable for who holds it; without it each is drawn afresh.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
from count_matrices.files import read_counts
from count_matrices.shipped import BUNDLED, bundled_path, read_bundled

DATA = Path(__file__).parent / "data"
DEALT = {"train": 0.35, "gate": 0.35, "test": 0.3}  # of the only matrix's cells
DEALT_WITHOUT_TEST = {"train": 0.5, "gate": 0.5}
MOST_CELLS = 250  # of an instance of a run
FEWEST_CELLS = 40  # of a matrix
FEWEST_GENES = 20
MOST_ENTRIES = 6_000_000  # cells x genes of an instance of `ratchet eval`


@lru_cache(maxsize=1)
def index():
    return json.loads((DATA / "index.json").read_text(encoding="utf-8"))["matrices"]


@lru_cache(maxsize=2)
def matrix(name):
    """(counts, names of the genes)."""
    source = index()[name]["source"]
    return read_bundled() if source == BUNDLED else read_counts(DATA / source)


def seed_of(*parts):
    return int(hashlib.sha256(repr(parts).encode()).hexdigest()[:12], 16)


def pool(name, split):
    """Which cells of a matrix belong to a split, in a fixed order of their own."""
    entry = index()[name]
    order = np.random.default_rng(seed_of("deal", name)).permutation(entry["cells"])
    if split == "eval" or entry["role"] == "test":
        return order
    start, shares = 0, DEALT if _only_train() else DEALT_WITHOUT_TEST
    for each, part in shares.items():
        end = start + int(part * entry["cells"])
        if each == split:
            return order[start:end]
        start = end
    return order[:0]


def names(split):
    """The matrices that a split draws from. Raises CountsError where the shipped one is not installed."""
    if any(entry["source"] == BUNDLED for entry in index().values()):
        bundled_path()
    role = "test" if split == "test" and not _only_train() else "train"
    return [name for name, entry in index().items() if entry["role"] == role]


def _only_train():
    return all(entry["role"] == "train" for entry in index().values())


def block_size(name, split):
    """Cells of an instance: of each pool at least two blocks, so that a split holds several."""
    if index()[name]["role"] == "test":
        return min(MOST_CELLS, len(pool(name, split)) // 2)
    dealt = DEALT if _only_train() else DEALT_WITHOUT_TEST
    return min(MOST_CELLS, min(len(pool(name, each)) for each in dealt) // 2)


def cells_of(instance):
    """The cells that an instance is, as rows. Blocks of one round are disjoint; another deals them anew."""
    cells = pool(instance["matrix"], instance["split"])
    rng = np.random.default_rng(
        seed_of(instance["split"], instance["seed"], instance["round"], instance["matrix"])
    )
    start = instance["place"] * instance["cells"]
    return np.sort(rng.permutation(cells)[start : start + instance["cells"]])


def generator(instance, fresh):
    """What splits an instance's molecules: a generator that only who reads data/secret can repeat."""
    path = DATA / "secret"
    if not path.exists():
        return fresh
    secret = path.read_text(encoding="ascii").strip()
    return np.random.default_rng(seed_of(secret, instance["id"], instance.get("check", "final")))

"""Imports count matrices into a copy of this task's folder.

    data.py import SOURCE INTO      the matrices of a run; prints a JSON object that sums up what was taken
    data.py instances SOURCE INTO   those of `ratchet eval`: prints an instance for each and each split seed

SOURCE is a file (count_files.py says which kinds), a folder of CellRanger (matrix.mtx and its tables), or a
folder of these. In a folder with subfolders train/ and test/ those decide which matrices the loop learns on
and which only the sealed test sees; else the one with the most cells is for train and gate, the others for
test.
"""

import json
import secrets
import sys
from pathlib import Path

import matrices
import numpy as np
from count_files import CountsError, name_of, read_counts, suffix
from scipy import sparse

SPLIT_SEEDS = 3  # of every matrix in `ratchet eval`
MTX = ("matrix.mtx", "matrix.mtx.gz")
FEWEST_MOLECULES = 2  # of a cell, as in OpenProblems


def main(operation, source, into):
    data = into / "data"
    if operation == "instances" and source.suffix == ".jsonl":
        _print_lines(source)
        return
    files = found_files(source)
    for old in data.iterdir() if data.exists() else ():
        old.unlink()
    data.mkdir(exist_ok=True)
    summary = write(files, data, for_eval=operation == "instances")
    if operation == "instances":
        for instance in eval_instances(data):
            print(json.dumps(instance))
        for line in (*summary["refused"], *summary["warnings"]):
            print(line, file=sys.stderr)
    else:
        print(json.dumps(summary))


def found_files(source):
    """[(name, path, role or "")]. Raises CountsError where there is none."""
    if source.is_file():
        return [(name_of(source), source, "")]
    if own := _mtx(source):
        return [(source.name, own, "")]
    roles = [role for role in ("train", "test") if (source / role).is_dir()]
    folders = [(source / role, role) for role in roles] if len(roles) == 2 else [(source, "")]
    files = [(*found, role) for folder, role in folders for found in _matrices(folder)]
    if not files:
        raise CountsError(f"{source}: holds no count matrix; give .h5ad, 10x .h5, .mtx or .npz files")
    names = [name for name, _, _ in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CountsError(f"{source}: two matrices are named {', '.join(twice)}; rename one")
    return files


def _matrices(folder):
    """(name, path) of what lies in a folder; NAME.test.npz belongs to NAME.train.npz, labels to nothing."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and (own := _mtx(path)):
            yield path.name, own
        elif path.is_file() and suffix(path) and not path.name.endswith((".test.npz", ".labels.npz")):
            yield name_of(path), path


def _mtx(folder):
    return next((folder / name for name in MTX if (folder / name).exists()), None)


def write(files, data, for_eval):
    """The matrices, index.json and secret into `data`; returns the summary. A file that can't be used is
    refused with its reason; CountsError where none can, or where the only one can't."""
    taken, refused, warned = {}, [], []
    for name, path, role in files:
        try:
            counts, genes = read_counts(path)
            counts, genes = _tidied(counts, genes, name, warned)
        except CountsError as error:
            refused.append(str(error))
            continue
        file = f"{len(taken)}.npz"
        parts = {"data": counts.data.astype(np.int32), "indices": counts.indices, "indptr": counts.indptr}
        np.savez_compressed(data / file, shape=counts.shape, genes=np.array(genes, str), **parts)
        depth = int(np.median(np.asarray(counts.sum(axis=1)).ravel()))
        cells, width = counts.shape
        taken[name] = {"source": file, "role": role, "cells": cells, "genes": width, "depth": depth}
        if for_eval and cells > matrices.MOST_ENTRIES // width:
            warned.append(f"{name}: every split takes {matrices.MOST_ENTRIES // width} of its {cells} cells")
    lost = {role for _, _, role in files} - {entry["role"] for entry in taken.values()}
    if lost:
        without = [f"{role}/ holds no matrix that can be used" for role in sorted(lost) if role]
        raise CountsError("\n".join([*without, *refused]))
    _deal_roles(taken, for_eval)
    (data / "index.json").write_text(json.dumps({"matrices": taken}, indent=1), encoding="utf-8")
    (data / "secret").write_text(secrets.token_hex(32), encoding="ascii")
    return {"matrices": taken, "refused": refused, "warnings": warned}


def _tidied(counts, genes, name, warned):
    """Without cells of fewer than two molecules and without genes of none."""
    cells = np.flatnonzero(np.asarray(counts.sum(axis=1)).ravel() >= FEWEST_MOLECULES)
    kept = counts[cells]
    wanted = np.flatnonzero(np.asarray(kept.sum(axis=0)).ravel() > 0)
    lost = counts.shape[0] - len(cells), counts.shape[1] - len(wanted)
    if any(lost):
        warned.append(f"{name}: dropped {lost[0]} cells and {lost[1]} genes that hold (nearly) no counts")
    if len(cells) < matrices.FEWEST_CELLS:
        raise CountsError(
            f"{name}: {len(cells)} cells with counts; at least {matrices.FEWEST_CELLS} are needed"
        )
    kept = sparse.csr_matrix(kept[:, wanted])
    kept.sort_indices()
    return kept, [genes[i] for i in wanted] if len(genes) == counts.shape[1] else []


def _deal_roles(taken, for_eval):
    """Train for the largest and test for the others, unless subfolders have said it; all test for eval."""
    largest = max(taken, key=lambda name: taken[name]["cells"])
    for name, entry in taken.items():
        if for_eval:
            entry["role"] = "test"
        elif not entry["role"]:
            entry["role"] = "train" if name == largest else "test"


def eval_instances(data):
    """The whole of each matrix, or as many of its cells as fit, once for every split seed."""
    for name, entry in json.loads((data / "index.json").read_text(encoding="utf-8"))["matrices"].items():
        cells = min(entry["cells"], matrices.MOST_ENTRIES // entry["genes"])
        shown = {
            "matrix": name,
            "group": name,
            "genes": entry["genes"],
            "depth": entry["depth"],
            "cells": cells,
        }
        for seed in range(SPLIT_SEEDS):
            yield {
                "id": f"eval-{name}-{seed}",
                "split": "eval",
                **shown,
                "seed": seed,
                "round": 0,
                "place": 0,
            }


def _print_lines(source):
    for number, line in enumerate(source.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                print(json.dumps(json.loads(line)))
            except ValueError:
                raise CountsError(f"{source.name}, line {number}: not JSON") from None


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    except CountsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)

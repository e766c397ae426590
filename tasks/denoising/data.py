"""Imports count matrices into a copy of this task's folder.

    data.py import SOURCE INTO      the matrices of a run; prints a JSON object that sums up what was taken
    data.py instances SOURCE INTO   those of `ratchet eval`: prints an instance for each and each split seed

SOURCE is a matrix (count_matrices/files.py lists the kinds) or a folder that holds some, at any depth. In a
folder with subfolders train/ and test/ those decide which matrices the loop learns on and which only the
sealed test sees; else the one with the most cells is for train and gate, the others for test.
"""

import json
import secrets
import sys
from pathlib import Path

import matrices
import numpy as np
import roles
from count_matrices.files import read
from count_matrices.folders import found_files
from count_matrices.matrix import CountsError
from count_matrices.same_cells import repeated

SPLIT_SEEDS = 3  # of every matrix in `ratchet eval`
FEWEST_MOLECULES = 2  # of a cell, as in OpenProblems
EMPTY = 0.05  # of the molecules of a full cell (99th percentile): what half of all hold less than is no cell


def main(operation, source, into):
    data = into / "data"
    if operation == "instances" and source.suffix == ".jsonl":
        _print_lines(source)
        return
    files, left_out = found_files(source)
    for old in data.iterdir() if data.exists() else ():
        old.unlink()
    data.mkdir(exist_ok=True)
    summary = write(files, data, operation == "instances", left_out)
    if operation == "instances":
        for instance in eval_instances(data):
            print(json.dumps(instance))
        for line in (*summary["refused"], *summary["warnings"]):
            print(line, file=sys.stderr)
    else:
        print(json.dumps(summary))


def write(files, data, for_eval, notes=()):
    """The matrices, index.json and secret into `data`; returns the summary. A file that can't be used is
    refused with its reason; CountsError where none can, or where the only one of a role can't. `notes`:
    further notes for the user."""
    refused, warned = [], [*notes]
    samples = [sample for found in files if (sample := _sample(*found, warned, refused))]
    if not for_eval:
        samples = [_fitting(sample, refused) for sample in roles.kept_apart(samples, warned)]
    samples = [sample for sample in samples if sample]
    lost = {role for _, _, role in files} - {sample.role for sample in samples}
    if lost or not samples:
        without = [f"{role}/ holds no matrix that can be used" for role in sorted(lost) if role]
        raise CountsError("\n".join([*without, *refused]))
    taken = {sample.name: _saved(sample, data / f"{number}.npz") for number, sample in enumerate(samples)}
    if for_eval:
        for name, entry in taken.items():
            if entry["cells"] > (most := matrices.MOST_ENTRIES // entry["genes"]):
                warned.append(f"{name}: every split takes {most} of its {entry['cells']} cells")
    roles.deal(taken, for_eval)
    (data / "index.json").write_text(json.dumps({"matrices": taken}, indent=1), encoding="utf-8")
    (data / "secret").write_text(secrets.token_hex(32), encoding="ascii")
    return {"matrices": taken, "refused": refused, "warnings": warned}


def _sample(name, path, role, warned, refused):
    """None where it is refused."""
    try:
        counts = read(path)
        warned += counts.notes
        return _fitting(roles.Sample(name, role, _tidied(counts, name, warned)))
    except CountsError as error:
        refused.append(str(error))
        return None


def _fitting(sample, refused=None):
    """The sample itself; where it has too few cells or genes it is refused: raised, or put into `refused`."""
    cells, genes = sample.counts.matrix.shape
    reason = ""
    if cells < matrices.FEWEST_CELLS:
        reason = f"{sample.name}: {cells} cells with counts; at least {matrices.FEWEST_CELLS} are needed"
    elif genes < matrices.FEWEST_GENES:
        reason = f"{sample.name}: {genes} genes with counts; at least {matrices.FEWEST_GENES} are needed"
    if not reason:
        return sample
    if refused is None:
        raise CountsError(reason)
    refused.append(reason)
    return None


def _tidied(counts, name, warned):
    """Without cells of fewer than two molecules, without genes of none, and every cell once."""
    enough = np.asarray(counts.matrix.sum(axis=1)).ravel() >= FEWEST_MOLECULES
    again = repeated(counts.matrix) & enough
    cells = np.flatnonzero(enough & ~again)
    kept = counts.matrix[cells]
    wanted = np.flatnonzero(np.asarray(kept.sum(axis=0)).ravel() > 0)
    lost = counts.matrix.shape[0] - int(enough.sum()), counts.matrix.shape[1] - len(wanted)
    if any(lost):
        warned.append(f"{name}: dropped {lost[0]} cells and {lost[1]} genes that hold (nearly) no counts")
    sizes = np.asarray(kept.sum(axis=1)).ravel()
    empty = int((sizes < EMPTY * np.quantile(sizes, 0.99)).sum()) if len(sizes) else 0
    if empty > len(sizes) / 2:
        warned.append(
            f"{name}: {empty} of its {len(sizes)} cells look like empty droplets, and were taken as cells: "
            "give the filtered matrix"
        )
    if again.any():
        warned.append(f"{name}: dropped {int(again.sum())} cells that stand in it twice")
    counts.matrix = kept[:, wanted].tocsr()
    counts.matrix.sort_indices()
    counts.genes = [counts.genes[place] for place in wanted] if counts.genes else []
    counts.cells = [counts.cells[place] for place in cells] if counts.cells else []
    return counts


def _saved(sample, path):
    """The matrix as CSR parts; returns what index.json holds of it."""
    matrix = sample.counts.matrix
    parts = {"data": matrix.data.astype(np.int32), "indices": matrix.indices, "indptr": matrix.indptr}
    names = {"genes": np.array(sample.counts.genes, str)}
    np.savez_compressed(path, shape=matrix.shape, oriented=True, **names, **parts)
    depth = int(np.median(np.asarray(matrix.sum(axis=1)).ravel()))
    cells, genes = matrix.shape
    return {"source": path.name, "role": sample.role, "cells": cells, "genes": genes, "depth": depth}


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
    try:
        text = source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise CountsError(f"{source.name} is not UTF-8; convert it: iconv -f ENCODING -t UTF-8") from None
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                print(json.dumps(json.loads(line)))
            except (ValueError, RecursionError):
                raise CountsError(f"{source.name}, line {number}: not JSON") from None


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    except CountsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)

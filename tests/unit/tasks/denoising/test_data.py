"""Count matrices into the denoising task: formats, what is wrong with them, which matrix is for what."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy import io, sparse

from tests.parts.denoising import TASK, made_counts, part
from tests.unit.tasks.denoising.writers import (
    COUNTS,
    GENES,
    write_10x,
    write_cellranger,
    write_h5ad,
    write_halves,
    write_npz,
)

data = part("data")
matrices = data.matrices
files, matrix, shipped = (sys.modules[f"count_matrices.{name}"] for name in ("files", "matrix", "shipped"))


def test_the_counts_behind_the_matrix_that_scanpy_ships_are_recovered_exactly():
    """Its .raw is log(1 + count * 10^4 / n_counts): the counts that we find give back every stored digit."""
    counts, genes = shipped.read_bundled()
    assert (counts.shape, len(genes), counts.sum()) == ((700, 765), 765, 486_651)
    with h5py.File(shipped.bundled_path()) as file:
        raw = {name: file["raw.X"][name][:] for name in ("data", "indices", "indptr")}
        sizes = np.asarray(file["obs"]["n_counts"], np.float64)
    assert counts.nnz == raw["data"].size  # no nonzero is lost
    logs_stored = sparse.csr_matrix(tuple(raw.values()), counts.shape)
    logs_stored.sort_indices()
    counts.sort_indices()
    assert (counts.indices == logs_stored.indices).all()
    stored = logs_stored.data.astype(np.float64)
    logs = np.log1p(counts.data * 1e4 / np.repeat(sizes, np.diff(counts.indptr)))
    assert np.abs(logs - stored).max() < 6e-4  # three decimals are stored
    one_more = np.log1p((counts.data + 1) * 1e4 / np.repeat(sizes, np.diff(counts.indptr)))
    assert (one_more - stored).min() > 0.003  # the next whole number is far from every stored value


def test_logarithms_that_no_whole_counts_give_are_not_taken_for_counts():
    logs = sparse.csr_matrix(np.log1p([[1e4 * 2.5 / 100, 0.0]]))
    with pytest.raises(matrix.CountsError, match="away from a whole number"):
        shipped.recover_counts(logs, np.array([100.0]))


WRITERS: dict[str, tuple[Callable[[Path], None], bool]] = {
    "x.h5ad": (write_h5ad, True),
    "x.h5": (write_10x, True),
    "x": (write_cellranger, True),
    "x.mtx": (lambda path: io.mmwrite(path, COUNTS.astype(int)), False),
    "x.train.npz": (write_halves, True),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_counts(name: str, tmp_path: Path):
    write, named = WRITERS[name]
    write(tmp_path / name)
    ((found, path, role),), _ = data.found_files(tmp_path / name)
    counts, genes = files.read_counts(path)
    assert (found, role, genes) == ("x", "", GENES if named else [])
    assert (counts != COUNTS).nnz == 0


def test_an_annotated_matrix_gives_its_counts_wherever_they_are(tmp_path: Path):
    logs = COUNTS.copy()
    logs.data = np.log1p(logs.data)
    write_h5ad(tmp_path / "layer.h5ad", logs, layers={"counts": COUNTS})
    counts, _ = files.read_counts(tmp_path / "layer.h5ad")
    assert (counts != COUNTS).nnz == 0
    write_h5ad(tmp_path / "logs.h5ad", logs)
    with pytest.raises(matrix.CountsError, match=r"no whole numbers .*give raw counts"):
        files.read_counts(tmp_path / "logs.h5ad")


def changed(value: float) -> sparse.csr_matrix:
    counts = COUNTS.copy()
    counts.data[7] = value
    return counts


BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "an empty matrix": (lambda path: write_npz(path, sparse.csr_matrix((0, 60))), "the matrix is empty"),
    "all zeros": (lambda path: write_npz(path, sparse.csr_matrix((90, 60))), "every count is zero"),
    "floats": (lambda path: write_npz(path, changed(0.5)), "no whole numbers (such as 0.5)"),
    "a negative count": (lambda path: write_npz(path, changed(-3)), "the smallest count is -3"),
    "NaN": (lambda path: write_npz(path, changed(np.nan)), "1 counts are NaN or infinite"),
    "few cells": (lambda path: write_npz(path, COUNTS[:30]), "30 cells with counts; at least 40"),
    "text": (lambda path: write_npz(path, data=np.array(["x"] * COUNTS.nnz)), "not numbers"),
    "indices that lie": (lambda path: write_npz(path, indices=COUNTS.indices + 99), "can't be read"),
    "a pickle": (lambda path: write_npz(path, data=np.array([{}] * COUNTS.nnz, object)), "can't be read"),
    "no parts": (lambda path: np.savez(path, x=np.ones(3)), "has no data, indices, indptr, shape"),
    "no archive": (lambda path: path.write_bytes(b"garbage"), "can't be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_matrix_that_is_no_matrix_of_counts_is_refused_by_name(name: str, tmp_path: Path):
    write, reason = BAD[name]
    write(tmp_path / "mine.npz")
    with pytest.raises(matrix.CountsError) as caught:
        data.main("import", tmp_path / "mine.npz", tmp_path)
    assert reason in str(caught.value)
    assert "mine" in str(caught.value)


def test_a_sparse_encoding_that_scanpy_cannot_read_is_refused_by_name(tmp_path: Path):
    write_h5ad(tmp_path / "odd.h5ad")
    with h5py.File(tmp_path / "odd.h5ad", "a") as file:
        file["X"].attrs["encoding-type"] = "coo_matrix"
    with pytest.raises(matrix.CountsError, match=r"odd\.h5ad: can't be read .*write it again with scanpy"):
        files.read_counts(tmp_path / "odd.h5ad")


def test_the_user_hears_of_a_mistake_by_exit_code_2(tmp_path: Path):
    (tmp_path / "cells.loom").write_text("x")
    for source, reason in (
        (tmp_path / "cells.loom", "not a format that is read"),
        (tmp_path, "no count matrix"),
    ):
        command = [sys.executable, str(TASK / "data.py"), "import", str(source), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert reason in done.stderr


def test_cells_and_genes_of_zeros_are_dropped_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    counts = COUNTS.tolil()
    counts[:5] = 0
    counts[:, :3] = 0
    write_npz(tmp_path / "mine.npz", counts.tocsr())
    data.main("import", tmp_path / "mine.npz", tmp_path)
    summary = json.loads(capsys.readouterr().out)
    lost = 60 - np.count_nonzero(np.asarray(COUNTS[5:].sum(axis=0)).ravel()[3:])
    assert summary["warnings"][1:] == [f"mine: dropped 5 cells and {lost} genes that hold (nearly) no counts"]
    assert summary["matrices"]["mine"]["cells"] == 85


def folder_of(tmp_path: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = tmp_path / "from" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz(path, made_counts(cells=100 + 50 * number, genes=40, seed=number))
    return tmp_path / "from"


@pytest.fixture
def verifier_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Any]]:
    """The verifier as it stands in a copy of the task with these data."""

    def of(folder: Path) -> Any:
        monkeypatch.setattr(matrices, "DATA", folder / "data")
        matrices.index.cache_clear()
        matrices.matrix.cache_clear()
        return part("verifier")

    yield of
    matrices.index.cache_clear()
    matrices.matrix.cache_clear()


def test_the_largest_matrix_is_learned_on_and_the_others_are_the_sealed_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verifier_of
):
    source = folder_of(tmp_path, "small", "large")
    (source / "broken.npz").write_bytes(b"x")
    data.main("import", source, tmp_path)
    summary = json.loads(capsys.readouterr().out)
    roles = {name: entry["role"] for name, entry in summary["matrices"].items()}
    assert roles == {"large": "train", "small": "test"}
    assert [line.split(":")[0] for line in summary["refused"]] == ["broken.npz"]
    verifier = verifier_of(tmp_path)
    for split, name in (("train", "large"), ("gate", "large"), ("test", "small")):
        drawn = verifier.draw(split, 4, 1)
        assert {instance["matrix"] for instance in drawn} == {name}
        assert [verifier.check_instance(instance) for instance in drawn] == [""] * 4


def test_subfolders_say_which_matrix_is_for_what(tmp_path: Path):
    source = folder_of(tmp_path, "a", "b")
    for name, role in (("a", "train"), ("b", "test")):
        (source / role).mkdir()
        (source / f"{name}.npz").rename(source / role / f"{name}.npz")
    (tmp_path / "data").mkdir()
    summary = data.write(data.found_files(source)[0], tmp_path / "data", for_eval=False)
    assert {name: entry["role"] for name, entry in summary["matrices"].items()} == {"a": "train", "b": "test"}
    (source / "train" / "a.npz").write_bytes(b"x")  # the other one is never learned on in its place
    with pytest.raises(matrix.CountsError, match="train/ holds no matrix that can be used"):
        data.write(data.found_files(source)[0], tmp_path / "data", for_eval=False)


def test_evaluation_takes_every_matrix_whole_with_three_split_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verifier_of
):
    data.main("instances", folder_of(tmp_path, "a", "b"), tmp_path)
    instances = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(i["group"], i["cells"], i["seed"]) for i in instances] == [
        (name, cells, seed) for name, cells in (("a", 100), ("b", 150)) for seed in range(3)
    ]
    verifier = verifier_of(tmp_path)
    assert [verifier.check_instance(instance) for instance in instances] == [""] * 6
    inputs = [verifier.make_inputs(instance, np.random.default_rng()) for instance in instances[:2]]
    assert inputs[0]["counts"].shape[0] == inputs[1]["counts"].shape[0] == 100
    assert inputs[0]["counts"].sum() != inputs[1]["counts"].sum()  # other molecules of the same cells


def test_a_hundred_thousand_cells_are_read_and_each_split_takes_as_many_as_fit(tmp_path: Path):
    rng = np.random.default_rng(0)
    places = np.sort(rng.integers(0, 500, (100_000, 4)), axis=1)
    wide = sparse.csr_matrix(
        (np.ones(400_000), places.ravel(), np.arange(0, 400_001, 4)), shape=(100_000, 500)
    )
    write_npz(tmp_path / "wide.npz", wide)
    (tmp_path / "data").mkdir()
    summary = data.write([("wide", tmp_path / "wide.npz", "")], tmp_path / "data", for_eval=True)
    assert summary["warnings"][1:] == ["wide: every split takes 12000 of its 100000 cells"]
    assert {instance["cells"] for instance in data.eval_instances(tmp_path / "data")} == {12_000}


def test_a_file_with_more_counts_than_are_read_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(matrix, "MOST_ENTRIES", 1000)
    with pytest.raises(matrix.CountsError, match="1000 are read: give fewer cells"):
        matrix.checked(COUNTS, "mine")


def test_lines_of_instances_in_another_encoding_are_named(tmp_path: Path):
    (tmp_path / "mine.jsonl").write_text('{"id": "a"}\n', encoding="utf-16")
    with pytest.raises(matrix.CountsError, match=r"mine.jsonl is not UTF-8; convert it"):
        data.main("instances", tmp_path / "mine.jsonl", tmp_path)

"""A folder with a task.yml becomes a task skeleton, with its booleans as booleans."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet.tasks.from_kernelbot import create, read
from ratchet.tasks.splits_check import check
from shared.errors import SettingsError
from shared.harness.bundle import load_harness
from shared.store.store import read_folder
from shared.tasks.task import load_task

TASK = """
lang: "py"
description: |
  Sum the rows of a table, but for those that the mask leaves out.
tests:
  - {"rows": 32, "seed": 1, "nomask": "False"}
  - "rows: 64; seed: 2; nomask: True"
  - "rows: 96; seed: 3; nomask: 0"
  - {"rows": 128, "seed": 4, "nomask": false}
benchmarks:
  - {"rows": 128, "seed": 5, "nomask": 0}
  - {"rows": 4096, "seed": 6, "nomask": "FALSE"}
ranking_by: "geom"
"""
LAUGHS = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20))
LAUGHS += "tests: [{x: *a19}, {x: 2}]\nbenchmarks: [{x: 3}]\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "Row-Sums.v2"
    folder.mkdir()
    (folder / "task.yml").write_text(TASK)
    return folder


def test_every_way_of_writing_false_is_false(source: Path):
    read_task = read(source)
    assert [spec["nomask"] for spec in read_task["tests"]] == [False, True, False, False]
    assert [spec["nomask"] for spec in read_task["benchmarks"]] == [False, False]
    assert all(type(spec["nomask"]) is bool for spec in read_task["tests"] + read_task["benchmarks"])
    assert [spec["rows"] for spec in read_task["tests"]] == [32, 64, 96, 128]


def test_the_skeleton_loads_and_draws_with_the_benchmarks_sealed(source: Path, tmp_path: Path):
    create(source, tmp_path / "row_sums")

    task = load_task(str(tmp_path / "row_sums"))
    assert {split: len(drawn) for split, drawn in check(task).items()} == {
        "train": 16,
        "gate": 16,
        "test": 16,
    }
    specs = json.loads((task.folder / "specs.json").read_text())
    assert specs["test"] == [{"rows": 128, "nomask": False}, {"rows": 4096, "nomask": False}]
    assert specs["train"] + specs["gate"] == [
        {"rows": 32, "nomask": False},
        {"rows": 96, "nomask": False},
        {"rows": 64, "nomask": True},
    ]
    harness = load_harness(read_folder(task.folder / "harness"))
    assert "Sum the rows" in harness.prompts["system"]


def test_a_ranking_by_the_last_benchmark_seals_that_one(source: Path, tmp_path: Path):
    (source / "task.yml").write_text(TASK.replace("geom", "last"))
    create(source, tmp_path / "row_sums")
    specs = json.loads((tmp_path / "row_sums" / "specs.json").read_text())
    assert specs["test"] == [{"rows": 4096, "nomask": False}]


@pytest.mark.parametrize(
    ("text", "read_task"),
    [
        ("tests: [", "not YAML"),
        ("- 1", "holds no table"),
        (TASK.replace("geom", "luck"), "ranking_by 'luck'"),
        (TASK.replace("benchmarks", "others"), "benchmarks is no list"),
        (TASK.replace("nomask: 0", "nomask: 2"), "nomask is true or false elsewhere, but 2 here"),
        (TASK.replace('"nomask": "False"', '"nomask": [1]'), r"true or false elsewhere, but \[1\] here"),
        (TASK.replace('"rows": 32', '"rows": 2026-11-29'), r"rows can.t be datetime.date\(2026, 11, 29\)"),
        (TASK.replace('"rows": 32', '"rows": .nan'), "spec 1: rows can.t be nan"),
        (TASK.replace("nomask: True", "nonsense"), "spec 2 is no table of arguments"),
        (TASK.replace('ranking_by: "geom"', "ranking_by: !include none.yml"), "no file none.yml to include"),
        (TASK.replace('ranking_by: "geom"', "ranking_by: !other x"), "is not YAML: .*!other"),
        ("tests: [{n: 1}]\nbenchmarks: [{n: 1}]", "train and gate need one each"),
        (TASK.replace('"rows": 32', '"rows": 32, "rows": 64'), "the key 'rows' stands twice"),
        (TASK + TASK, "the key 'benchmarks' stands twice"),
        (TASK.replace('"rows": 32', f'"rows": {"9" * 5000}'), "is not YAML: Exceeds the limit"),
        (TASK.replace('"rows": 32', r'"rows": "\ud83d"'), "spec 1: rows can.t be "),
        (TASK.replace('{"rows": 32', '&it {"it": *it, "rows": 32'), "spec 1 holds itself"),
        (LAUGHS, "spec 1 holds itself, or more than 10000 values"),
    ],
)
def test_what_is_wrong_with_a_task_yml_is_named(text: str, read_task: str, source: Path, tmp_path: Path):
    (source / "task.yml").write_text(text)
    with pytest.raises(SettingsError, match=read_task):
        create(source, tmp_path / "row_sums")
    assert not (tmp_path / "row_sums").exists()


def test_the_command_names_the_folder_after_the_source_and_never_overwrites(source: Path, tmp_path: Path):
    command = [sys.executable, "-m", "ratchet.cli.main", "init", "--from-kernelbot", str(source)]
    first, second = (
        subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60) for _ in range(2)
    )
    assert first.returncode == 0, first.stderr
    assert (tmp_path / "row-sums_v2" / "verifier.py").exists()
    assert second.returncode == 2
    assert "never overwritten" in second.stderr


ODD = """\ufeff
files: !include ../files.yml
description: !include description.txt
base: &base {m: [96, 128], scale: null}
tests:
  - &first {m: [64, [72]], mode: "auto", flag: "True", seed: 1}
  - *first
  - {<<: *base, mode: true, flag: 0, seed: 2}
  - {m: [8], mode: "false", flag: false, id: "mine", seed: 3}
benchmarks: !include benchmarks.yml
ranking_by: geom
"""


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "task.yml").write_text(ODD, encoding="utf-8")
    (folder / "description.txt").write_text("weights \u2014 h", encoding="utf-8")
    (folder / "benchmarks.yml").write_text("- {m: [512], mode: auto, flag: true}\n")
    return folder


def test_lists_null_anchors_and_included_files_come_over(odd: Path, tmp_path: Path):
    create(odd, tmp_path / "mine")
    specs = json.loads((tmp_path / "mine" / "specs.json").read_text(encoding="utf-8"))
    assert specs["train"] + specs["gate"] == [
        {"m": [64, [72]], "mode": "auto", "flag": True},
        {"m": [8], "mode": "false", "flag": False, "id": "mine"},
        {"m": [96, 128], "scale": None, "mode": "true", "flag": False},
    ]
    assert specs["test"] == [{"m": [512], "mode": "auto", "flag": True}]
    prompts = load_harness(read_folder(tmp_path / "mine" / "harness")).prompts
    assert "weights \u2014 h" in prompts["system"]


def test_every_instance_of_a_skeleton_has_an_id_of_its_own(odd: Path, tmp_path: Path):
    create(odd, tmp_path / "mine")
    assert {len(drawn) for drawn in check(load_task(str(tmp_path / "mine"))).values()} == {16}


def test_a_locale_without_unicode_changes_no_file(odd: Path, tmp_path: Path):
    command = [sys.executable, "-m", "ratchet.cli.main", "init", "--from-kernelbot", str(odd), "mine"]
    plain = os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=60, env=plain)
    assert done.returncode == 0, done.stderr
    assert "\u2014" in (tmp_path / "mine" / "harness" / "prompts" / "system.md").read_text(encoding="utf-8")


def test_a_skeleton_that_fails_half_way_leaves_nothing(odd: Path, tmp_path: Path):
    (odd / "description.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(SettingsError, match="can't read"):
        create(odd, tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["odd"]


def test_a_number_is_one_however_it_is_written(source: Path):
    """YAML 1.1 reads 1e-5 as text; a quoted size would be another shape than the benchmark's."""
    (source / "task.yml").write_text(
        "tests: [{n: '32', eps: 1e-5}, {n: 1e3, eps: 1.0e-5}, {n: 64, eps: 1e-6}]\n"
        "benchmarks: [{n: 32, eps: 1e-5}]\n"
    )
    found = read(source)
    assert [(spec["n"], spec["eps"]) for spec in found["tests"]] == [(32, 1e-5), (1000, 1e-5), (64, 1e-6)]
    assert all(type(spec["n"]) is int for spec in found["tests"])


def test_a_text_that_looks_like_a_number_stays_one_beside_other_texts(source: Path):
    (source / "task.yml").write_text(
        "tests: [{n: '32', v: '1'}, {n: auto, v: '2'}]\nbenchmarks: [{n: 32, v: '3'}]\n"
    )
    found = read(source)
    assert [(spec["n"], spec["v"]) for spec in found["tests"]] == [("32", "1"), ("auto", "2")]

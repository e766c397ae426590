"""The sums of `ratchet bench intents` over several runs, compared with numbers worked out by hand."""

import json
from pathlib import Path

import pytest

from benchmarks import intents
from benchmarks.arms import Measured
from shared.tasks.task import ScoreSection


def run(**arms: tuple[float, float]) -> Measured:
    scores = {arm: {"a": first, "b": second} for arm, (first, second) in arms.items()}
    baselines = {intents.BASELINE: {"a": 1.0, "b": 0.0}}
    return Measured({}, scores, baselines, {}, ScoreSection())


def test_a_query_counts_once_however_many_seeds_there_are() -> None:
    seen = [run(base=(0, 0), both=(1, 0)), run(base=(0, 1), both=(1, 1))]
    found = intents.together(seen)["differences"]["both - base"]
    assert (found["mean"], found["n"]) == (pytest.approx(0.5), 2)  # 1.0 on a, 0.0 on b, twice


def test_a_lever_that_was_never_promoted_has_brought_nothing() -> None:
    found = intents.together([run(base=(0, 1), weights=(1, 1), both=(1, 1))])
    assert found["means"] == {"base": 0.5, "harness": 0.5, "weights": 1.0, "both": 1.0, "linear SVM": 0.5}
    assert found["differences"]["harness - base"]["mean"] == 0.0
    assert found["differences"]["both - weights"]["mean"] == 0.0


def test_a_query_that_one_arm_lost_is_left_out_of_the_comparison() -> None:
    lost = run(base=(0, 0), both=(1, 1))
    del lost.scores["both"]["b"]
    assert intents.together([lost])["differences"]["both - base"]["n"] == 1


def test_the_same_part_of_the_dev_file_is_taken_every_time(tmp_path: Path) -> None:
    dev = tmp_path / "dev.jsonl"
    dev.write_text("".join(json.dumps({"id": number}) + "\n" for number in range(20)))
    (tmp_path / "parts").mkdir()
    one = intents.taken(dev, 5, tmp_path / "parts").read_text()
    assert one == intents.taken(dev, 5, tmp_path / "parts").read_text()
    assert len(one.splitlines()) == 5
    assert intents.taken(dev, 0, tmp_path) == dev

"""Search arms on a task that declares a space: scored by its real verifier, resumed, sealed test included."""

import json
from pathlib import Path

import pytest

from ratchet.compare.arms import read_arms
from ratchet.compare.outcome import read_outcome
from ratchet.compare.results import read_study
from ratchet.compare.search import FINAL_LOOKS, FINALISTS, TRIALS, run_search
from ratchet.compare.study import Study, run_study
from shared.config.settings import BudgetSection, RunConfig, load_config
from shared.errors import SettingsError

VERIFIER = """
def draw(split, count, seed):
    return [{"id": f"{split}-{seed}-{number}", "noise": number % 3} for number in range(count)]

def check_instance(instance):
    return ""

def score(instance, content):
    return {"score": (10 - abs(int(content) - 7)) / 10 - instance["noise"] * 0.01}
"""
SPACE = """
SPACE = {"size": [1, 3, 5, 7, 9], "word": ["a", "b"]}

def answer(point, instance):
    return str(point["size"]) if point["word"] == "b" else "0"
"""
EVALUATIONS, SEALED = 60, 6


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "numbers"
    (folder / "harness").mkdir(parents=True)
    (folder / "task.toml").write_text('name = "numbers"\ntoolchain = "answer"\n')
    (folder / "verifier.py").write_text(VERIFIER)
    (folder / "space.py").write_text(SPACE)
    for name in ("harness.toml", "scaffold.py"):
        (folder / "harness" / name).write_text("")
    return folder


def config(task: Path, seed: int = 0) -> RunConfig:
    return load_config(
        [
            {
                "run": {"task": str(task), "seed": seed},
                "gate": {"test_instances": SEALED},
                "budget": {"evaluations": EVALUATIONS},
            }
        ]
    )


def quiet(_: str) -> None:
    """Progress is not looked at."""


def rows(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / TRIALS).read_text().splitlines()]


def test_a_search_spends_its_budget_and_scores_the_best_point_on_the_sealed_instances(task, tmp_path) -> None:
    run_search("optuna", config(task), tmp_path / "found", quiet)
    result = read_outcome(tmp_path / "found")
    assert result["best"] == {"size": 7, "word": "b"}
    assert result["evaluations"] <= EVALUATIONS
    assert sorted(result["sealed"].values()) == pytest.approx([0.98, 0.98, 0.99, 0.99, 1.0, 1.0])
    stages = [row["stage"] for row in rows(tmp_path / "found")]
    assert stages.count("sealed") == SEALED
    assert stages.count("final") <= FINALISTS * FINAL_LOOKS
    sealed = {row["instance"] for row in rows(tmp_path / "found") if row["stage"] == "sealed"}
    assert not sealed & {row["instance"] for row in rows(tmp_path / "found") if row["stage"] != "sealed"}


@pytest.mark.parametrize("name", ["random", "cmaes"])
def test_an_interrupted_search_continues_and_evaluates_nothing_twice(name: str, task, tmp_path) -> None:
    run_search(name, config(task), tmp_path / "whole", quiet)
    lines = (tmp_path / "whole" / TRIALS).read_text().splitlines(keepends=True)
    (tmp_path / "cut").mkdir()
    marked = [row | {"mark": "kept"} for row in rows(tmp_path / "whole")[:30]]
    (tmp_path / "cut" / TRIALS).write_text(
        "".join(json.dumps(row) + "\n" for row in marked) + lines[30][:10]
    )  # killed while it wrote
    run_search(name, config(task), tmp_path / "cut", quiet)
    found = rows(tmp_path / "cut")
    outcome = read_outcome(tmp_path / "cut")  # the time before the interruption counts
    assert outcome["wall_s"] == pytest.approx(sum(row["wall_s"] for row in found))
    assert [row.pop("mark", "") for row in found] == ["kept"] * 30 + [""] * (len(lines) - 30)
    kept = ("stage", "point", "instance", "score", "outcome")
    assert [[row[key] for key in kept] for row in found] == [
        [row[key] for key in kept] for row in rows(tmp_path / "whole")
    ]


@pytest.mark.slow
def test_every_seed_of_a_search_is_an_arm_of_the_comparison(task, tmp_path) -> None:
    budget = BudgetSection(evaluations=EVALUATIONS)
    study = Study(config(task), read_arms(["random", "cmaes"]), 2, budget, tmp_path / "study")
    run_study(study, quiet)
    result = read_study(study)
    assert [(row["arm"], row["seed"]) for row in result["runs"]] == [
        ("cmaes", 0),
        ("cmaes", 1),
        ("random", 0),
        ("random", 1),
    ]
    assert all(row["cost"]["evaluations"] <= EVALUATIONS for row in result["runs"])
    pairs = {(row["arm"], row["minus"]) for row in result["pairs"]}
    assert ("random", "cmaes") in pairs
    assert all(len(row["candidates"]["scores"]) > 30 for row in result["runs"])


def test_a_task_without_a_space_is_refused_before_anything_runs(task, tmp_path) -> None:
    (task / "space.py").unlink()
    budget = BudgetSection(evaluations=EVALUATIONS)
    with pytest.raises(SettingsError, match="declares no space"):
        run_study(Study(config(task), read_arms(["random"]), 1, budget, tmp_path / "study"), quiet)
    assert not (tmp_path / "study").exists()

"""The arm baseline:NAME: a task's baseline on the sealed instances of the run that it stands beside."""

import json
from functools import partial

import pytest

from ratchet.compare.arms import read_arms
from ratchet.compare.results import read_study
from ratchet.compare.study import Study, folder_name, run_study
from shared.config.settings import BudgetSection, load_config
from shared.decisions.pool import sealed_instances
from shared.errors import SettingsError
from shared.tasks.draws import draw
from shared.tasks.task import load_task
from tests.loop.toy_world import make_task

VERIFIER = """
def draw(split, count, seed):
    return [{"id": f"{split}-{number}"} for number in range(40)][:count]
"""
BASELINES = """
import json, sys
cases = json.load(sys.stdin)
print(json.dumps({
    "first of the list": [{"score": int(case["id"].split("-")[1]) / 40, "metrics": {}} for case in cases],
    "majority": [{"score": 0.0, "metrics": {}} for case in cases],
}))
"""


@pytest.fixture
def task(tmp_path):
    made = load_task(make_task(tmp_path / "task"))
    (made.folder / "verifier.py").write_text(VERIFIER)
    (made.folder / "baselines.py").write_text(BASELINES)
    return made


def study(task, folder, *names):
    config = load_config([{"run": {"task": str(task.folder)}, "gate": {"test_instances": 6}}])
    return Study(config, read_arms(names), 1, BudgetSection(evaluations=100), folder)


def test_it_is_scored_on_the_runs_sealed_instances_without_a_model(task, tmp_path) -> None:
    made = study(task, tmp_path / "study", "baseline:first of the list", "baseline:majority")
    run_study(made, lambda text: None)
    result = read_study(made)
    assert {(row["instances"], row["cost"]["tokens"]) for row in result["runs"]} == {(6, 0)}
    (pair,) = [row for row in result["pairs"] if "base" not in (row["arm"], row["minus"])]
    assert (pair["arm"], pair["minus"]) == ("baseline:majority", "baseline:first of the list")
    sealed = [case["id"] for case in sealed_instances(made.config, task, partial(draw, task))]
    assert sealed != [f"test-{number}" for number in range(6)]  # a sample, as a run's sealed test is
    folder = tmp_path / "study" / folder_name(made.arms[0], 0)
    assert folder.name == "baseline-first-of-the-list-seed0"
    kept = json.loads((folder / "result.json").read_text())
    assert kept["sealed"] == {name: int(name.split("-")[1]) / 40 for name in sealed}


def test_a_baseline_that_the_task_does_not_have_is_refused_before_anything_runs(task, tmp_path) -> None:
    with pytest.raises(SettingsError, match="no baseline 'oracle'") as caught:
        run_study(study(task, tmp_path / "study", "baseline:oracle"), lambda text: None)
    assert caught.value.hint == "it has: first of the list, majority"
    assert not (tmp_path / "study").exists()


def test_a_baseline_without_a_name_is_no_arm() -> None:
    with pytest.raises(SettingsError, match="unknown arm 'baseline:'"):
        read_arms(["baseline:"])

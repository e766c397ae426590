"""Pictures that a task draws for a finished run's report; one that it can't draw never costs the report."""

import json
import logging
from pathlib import Path

import pytest

from ratchet.reports import task_pictures
from ratchet.runs.findings import Best
from ratchet.tasks import new_task
from shared.ledger.history.state import Generation, Rollout, RunHistory
from shared.messages.events import RolloutsOpened
from shared.messages.records import Candidate, Evaluation
from shared.store.store import LocalStore, put_json
from shared.tasks.task import Task, load_task

PICTURES = """
import json, pathlib, sys
asked = json.load(sys.stdin)
folder, out = map(pathlib.Path, sys.argv[1:])
assert (folder / "task.toml").exists()
(out / "x.png").write_text(json.dumps(asked))
print(json.dumps([{"file": "x.png", "caption": "x"}, {"file": "never.png", "caption": "was not drawn"}]))
"""
INSTANCES = [{"id": "test-1"}]


@pytest.fixture
def task(tmp_path: Path) -> Task:
    new_task.create(tmp_path / "mine")
    (tmp_path / "mine" / "pictures.py").write_text(PICTURES)
    return load_task(str(tmp_path / "mine"))


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def history(store: LocalStore, state: str = "done") -> RunHistory:
    opened = RolloutsOpened(
        run_id="r", config="", purpose="test", releases=(), instances=put_json(store, INSTANCES), seeds=(1,)
    )
    whole = Generation(number=0, rollouts={("test", 0): Rollout(opened=opened)})
    return RunHistory(run_id="r", all={0: whole}, state=state)


def best() -> Best:
    return Best(Candidate(content="program"), Evaluation(outcome="ok", score=1.0), {"id": "train-1"}, 1)


def test_a_tasks_pictures_are_made_of_the_test_instances_and_the_best_candidate(
    task: Task, store, tmp_path: Path
):
    found = task_pictures.draw(task, history(store), store, best(), tmp_path)
    assert found == [{"file": "x.png", "caption": "x"}]
    assert json.loads((tmp_path / "x.png").read_text()) == {"instances": INSTANCES, "best": "program"}


def test_nothing_is_drawn_of_the_sealed_test_before_the_run_is_over(task: Task, store, tmp_path: Path):
    assert task_pictures.draw(task, history(store, "running"), store, best(), tmp_path) == []
    assert not (tmp_path / "x.png").exists()


def test_a_task_without_pictures_has_none(task: Task, store, tmp_path: Path):
    (task.folder / "pictures.py").unlink()
    assert task_pictures.draw(task, history(store), store, None, tmp_path) == []


def test_a_picture_that_can_not_be_drawn_is_a_line_in_the_log(
    task: Task, store, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (task.folder / "pictures.py").write_text("raise SystemExit('no display')")
    with caplog.at_level(logging.WARNING):
        assert task_pictures.draw(task, history(store), store, None, tmp_path) == []
    assert "no display" in caplog.text

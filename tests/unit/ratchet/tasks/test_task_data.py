"""A task with data of its own: a copy of its folder, made by its own program, and nothing half done."""

import json
from pathlib import Path

import pytest

from ratchet.runs import folder as runs
from ratchet.runs.request import RunRequest, resolve_config
from ratchet.tasks import new_task, task_data
from shared.config.settings import RunConfig, load_config
from shared.errors import SettingsError
from shared.tasks.task import Task, load_task

DATA = """
import json, pathlib, sys
operation, source, into = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
rows = source.read_text().split()
if "bad" in rows:
    sys.exit(print(f"{source}: row {rows.index('bad') + 1} is bad; correct it", file=sys.stderr) or 2)
if "lacks" in rows:
    import nowhere.at_all
if "bug" in rows:
    rows["bug"]
(into / "data").mkdir(exist_ok=True)
(into / "data" / f"{operation}.json").write_text(json.dumps(rows))
if operation == "import":
    (into / "public").mkdir()
    (into / "public" / "words.txt").write_text(" ".join(rows))
    print(json.dumps({"rows": len(rows)}))
else:
    for row in rows:
        print(json.dumps({"id": row, "length": len(row)}))
"""
BASELINES = """
import json, sys
instances = json.load(sys.stdin)
print(json.dumps({"nothing": [{"score": 0.0, "metrics": {"length": i["length"]}} for i in instances]}))
"""


@pytest.fixture
def task(tmp_path: Path) -> Task:
    new_task.create(tmp_path / "words")
    (tmp_path / "words" / "data.py").write_text(DATA)
    (tmp_path / "words" / "baselines.py").write_text(BASELINES)
    return load_task(str(tmp_path / "words"))


def source(tmp_path: Path, text: str) -> Path:
    (tmp_path / "rows.txt").write_text(text)
    return tmp_path / "rows.txt"


def test_imported_data_make_a_task_of_their_own_and_leave_the_first_alone(task: Task, tmp_path: Path):
    summary = task_data.create(task, source(tmp_path, "one two"), tmp_path / "mine" / "words", RunConfig())
    own = load_task(summary["folder"])
    assert (summary["rows"], own.name) == (2, task.name)
    assert own.public is not None
    assert (own.public / "words.txt").read_text() == "one two"
    assert task.public is None
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["words"]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("one bad", "row 2 is bad; correct it"),
        ("bug", "data.py failed: TypeError.*line 10"),
        ("lacks", "data.py failed: ModuleNotFoundError: No module named 'nowhere'.*install nowhere"),
    ],
)
def test_data_that_can_not_be_taken_leave_nothing_behind(task: Task, tmp_path: Path, rows: str, message: str):
    with pytest.raises(SettingsError, match=f"(?s){message}") as raised:
        task_data.create(task, source(tmp_path, rows), tmp_path / "mine" / "words", RunConfig())
    assert "Traceback" not in str(raised.value)
    assert not (tmp_path / "mine").exists()


def test_a_bound_task_is_never_overwritten(task: Task, tmp_path: Path):
    with pytest.raises(SettingsError, match="never overwritten"):
        task_data.create(task, source(tmp_path, "one"), task.folder, RunConfig())


def test_a_run_with_data_has_the_copy_in_its_own_folder(task: Task, tmp_path: Path):
    config = load_config([{"run": {"task": str(task.folder)}}])
    with task_data.bound(task, source(tmp_path, "one"), tmp_path / "runs", RunConfig()) as copy:
        folder = runs.create(RunRequest(config, task.name, tmp_path / "runs"), copy)
    own = load_task(folder.config().run.task)
    assert own.folder == folder.path / "task"
    assert json.loads((own.folder / "data" / "import.json").read_text()) == ["one"]


def test_instances_of_an_evaluation_keep_their_labels_with_the_verifier(task: Task, tmp_path: Path):
    with task_data.examined(task, source(tmp_path, "one three"), tmp_path) as (copy, instances):
        assert instances == [{"id": "one", "length": 3}, {"id": "three", "length": 5}]
        assert json.loads((copy / "data" / "instances.json").read_text()) == ["one", "three"]


def test_baselines_are_scored_on_the_same_instances(task: Task):
    assert task_data.baselines(task, [{"id": "a", "length": 4}]) == {
        "nothing": [{"score": 0.0, "metrics": {"length": 4}}]
    }


def test_a_task_without_the_program_says_so(task: Task, tmp_path: Path):
    (task.folder / "data.py").unlink()
    with pytest.raises(SettingsError, match="takes no data"):
        task_data.create(task, source(tmp_path, "one"), tmp_path / "mine", RunConfig())


def test_a_release_of_another_task_is_not_evaluated(task: Task):
    with pytest.raises(SettingsError, match=r"made for task 'words', not 'trimul'"):
        task_data.load_bound("trimul", str(task.folder))


SETTING = "\n[defaults.data]\nper_label = 10\n"


def test_an_import_reads_the_runs_data_settings_and_how_much_it_can_use(task: Task, tmp_path: Path):
    program = "import sys\nprint(sys.stdin.read())\n"
    (task.folder / "data.py").write_text(program)
    sections = {"gate": {"screen_instances": 2, "max_pairs": 3}, "run": {"generations": 4}}
    config = load_config([{"data": {"per_label": 40}}, sections])
    summary = task_data.create(task, source(tmp_path, "one"), tmp_path / "mine", config)
    assert (summary["per_label"], summary["gate"], summary["test"]) == (40, 20, config.gate.test_instances)


def test_a_data_setting_that_the_task_does_not_have_is_named(task: Task):
    manifest = task.folder / "task.toml"
    manifest.write_text(manifest.read_text() + SETTING)
    assert resolve_config(str(task.folder), None, ["data.per_label=40"], None).data == {"per_label": 40}
    with pytest.raises(SettingsError, match="no setting 'per_word'"):
        resolve_config(str(task.folder), None, ["data.per_word=1"], None)


def test_a_data_setting_without_data_is_a_mistake_and_not_ignored(task: Task, tmp_path: Path):
    manifest = task.folder / "task.toml"
    manifest.write_text(manifest.read_text() + SETTING)
    config = resolve_config(str(task.folder), None, ["data.per_label=40"], None)
    asked = task_data.bound(load_task(str(task.folder)), None, tmp_path, config)
    with pytest.raises(SettingsError, match="--data"), asked:
        pass

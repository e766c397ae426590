"""A task is its resolved folder: no name, working directory or parent folder makes it another one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ratchet.runs.request import resolve_config
from ratchet.tasks import new_task, task_data
from shared.config.settings import load_config
from shared.errors import SettingsError, TaskError
from shared.tasks.task import TASKS, find_task, load_task


def made(folder: Path, name: str = "") -> Path:
    """A task in `folder`; `name` is the one in its task.toml."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new_task.create(folder)
    if name:
        manifest = folder / "task.toml"
        manifest.write_text(manifest.read_text().replace(f'name = "{folder.name}"', f'name = "{name}"'))
    return folder


def resolved(text: str, cwd: Path) -> str:
    """What the config of a run started in `cwd` names."""
    before = Path.cwd()
    os.chdir(cwd)
    try:
        return resolve_config(text, None, [], None).run.task
    finally:
        os.chdir(before)


@pytest.mark.parametrize("bound", ["inf", "-inf", "nan"])
def test_a_score_has_finite_bounds(bound: str, tmp_path: Path):
    mine = made(tmp_path / "mine")
    manifest = mine / "task.toml"
    manifest.write_text(manifest.read_text().replace("high = 1.0", f"high = {bound}"))
    with pytest.raises(TaskError, match=r"score\.high: Input should be a finite number"):
        load_task(str(mine))


@pytest.mark.parametrize("limit", ["step_s = inf", "candidate_s = 1e300"])
def test_a_limit_of_time_is_one_that_a_clock_can_tell(limit: str, tmp_path: Path):
    mine = made(tmp_path / "mine")
    manifest = mine / "task.toml"
    manifest.write_text(manifest.read_text().replace("[attempt]", f"[attempt]\n{limit}\n#"))
    with pytest.raises(TaskError, match=r"attempt\..*_s: .*86400"):
        load_task(str(mine))


def test_a_task_in_a_folder_named_tasks_is_that_folder_and_not_one_of_ratchet_s_own(tmp_path: Path):
    mine = made(tmp_path / "tasks" / "mylaw", name="lawbench")
    assert resolved("tasks/mylaw", tmp_path) == str(mine)
    assert load_task(resolved("tasks/mylaw", tmp_path)).folder == mine


def test_another_folder_of_the_same_name_in_the_working_directory_is_not_run(tmp_path: Path):
    mine, other = made(tmp_path / "a" / "tasks" / "mine"), made(tmp_path / "b" / "mine")
    reference = resolved("../a/tasks/mine", tmp_path / "b")
    assert reference == str(mine)
    assert resolved("mine", tmp_path / "b") == str(other)


def test_one_of_ratchet_s_own_stays_so_wherever_its_workers_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    reference = resolved("trimul", tmp_path)
    made(tmp_path / "trimul")
    monkeypatch.chdir(tmp_path)
    assert load_task(reference).folder == TASKS / "trimul"
    assert find_task("trimul").folder == tmp_path / "trimul"  # but a person who stands beside it means it
    assert find_task(str(TASKS / "trimul")).reference == "trimul"


def test_a_link_is_the_folder_that_it_leads_to(tmp_path: Path):
    mine = made(tmp_path / "mine")
    (tmp_path / "link").symlink_to(mine)
    assert find_task(str(tmp_path / "link")).folder == mine


def test_an_unknown_task_is_answered_with_the_folders_that_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made(tmp_path / "tasks" / "mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskError) as caught:
        find_task("mine")
    assert "lawbench, trimul" in caught.value.hint
    assert "./tasks/mine" in caught.value.hint


@pytest.mark.parametrize("reference", ["mine", "../tasks/trimul", "./trimul", ""])
def test_a_config_names_no_task_by_a_relative_path(
    reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TaskError):
        load_task(reference)


def test_a_release_is_evaluated_on_its_own_task_or_on_what_that_was_made_from(tmp_path: Path):
    words, other = made(tmp_path / "words"), made(tmp_path / "other" / "words")
    (words / "data.py").write_text("print('{}')")
    (tmp_path / "rows.txt").write_text("x")
    copy = tmp_path / "copy"
    task_data.create(find_task(str(words)), tmp_path / "rows.txt", copy, load_config([]))
    assert task_data.load_bound(str(words), str(copy)).folder == copy
    assert task_data.load_bound(str(copy), str(copy)).folder == copy
    with pytest.raises(SettingsError, match="not the one in"):
        task_data.load_bound(str(other), str(copy))


def test_the_readme_s_lines_hold_in_a_user_s_project(tmp_path: Path):
    for line in (["init", "tasks/mine"], ["run", "tasks/mine", "--dry-run", "--json"]):
        command = [str(Path(sys.executable).with_name("ratchet")), *line]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
    assert f'"task": "{tmp_path}/tasks/mine"' in done.stdout


def test_a_folder_of_an_older_version_still_runs_and_a_wrong_key_is_still_named(tmp_path: Path):
    mine = made(tmp_path / "mine")
    text = (mine / "task.toml").read_text()
    (mine / "task.toml").write_text(f"{text}\n[defaults.training]\nmicro_batch = 16\n")
    assert resolved(str(mine), tmp_path) == str(mine)
    (mine / "task.toml").write_text(f"{text}\n[defaults.training]\nbacth = 16\n")
    with pytest.raises(SettingsError, match=r"training\.bacth"):
        resolved(str(mine), tmp_path)

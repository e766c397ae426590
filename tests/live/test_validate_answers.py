"""`ratchet validate` tries right answers: the verifier must score them highest, the scaffold show them."""

import shutil
from pathlib import Path

import pytest

from ratchet.tasks.answers_check import check, offers_answers
from ratchet.tasks.attempt_check import Trial
from shared.errors import TaskError
from shared.tasks.task import TASKS, Task, load_task


def intents(tmp_path: Path, file: str = "", old: str = "", new: str = "") -> Task:
    """A copy of the task, with one passage replaced."""
    copy = tmp_path / "intents"
    shutil.copytree(TASKS / "intents", copy, ignore=shutil.ignore_patterns("__pycache__"))
    if file:
        text = (copy / file).read_text()
        assert text.count(old) == 1
        (copy / file).write_text(text.replace(old, new))
    return load_task(str(copy))


def checked(task: Task) -> str:
    with Trial(task) as trial:
        return check(task, trial)


def test_right_answers_that_hold_are_counted(tmp_path: Path) -> None:
    task = intents(tmp_path)
    assert offers_answers(task)
    assert not offers_answers(load_task("trimul"))
    assert checked(task).startswith("of 16 of 16 train instances; ")


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("verifier.py", "return [right] if right else []", 'return ["nonsense"]', "'nonsense' scores 0.0"),
        ("harness/scaffold.py", "def demonstrate(", "def shows(", "no demonstrate"),
        (
            "harness/scaffold.py",
            "    if answer not in names:\n",
            "    if names[99] in names:\n",
            "IndexError",
        ),
    ],
)
def test_right_answers_that_do_not_hold_are_named(
    tmp_path: Path, file: str, old: str, new: str, reason: str
) -> None:
    with pytest.raises(TaskError, match=reason):
        checked(intents(tmp_path, file, old, new))

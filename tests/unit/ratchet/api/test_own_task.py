"""Tasks made in Python are task folders: they validate, and a changed function makes another folder."""

import random
from pathlib import Path
from typing import Any

import pytest

import ratchet
from ratchet.api.own_task import Task, task
from shared.errors import SettingsError
from shared.tasks.task import find_task

LENGTHS = {"train": (3, 4, 5, 6), "gate": (4, 5, 6, 7), "test": (5, 6, 7, 8)}


class Words:
    """The functions of a task: words of a given length."""

    @staticmethod
    def draw(split: str, count: int, seed: int) -> list[dict[str, Any]]:
        rng = random.Random(f"{split}-{seed}")
        return [{"id": f"{split}-{seed}-{i}", "length": rng.choice(LENGTHS[split])} for i in range(count)]

    @staticmethod
    def score(instance: dict[str, Any], answer: str) -> float:
        return max(0.0, 1.0 - abs(len(answer.strip()) - instance["length"]) / instance["length"])

    @staticmethod
    def example(rng: random.Random) -> tuple[dict[str, Any], str]:
        return {"length": rng.randint(3, 8)}, "".join(rng.choice("abcdef") for _ in range(rng.randint(1, 12)))


def right(answer: str, wanted: str) -> float:
    return float(answer.strip() == wanted)


@pytest.mark.slow
def test_a_class_of_functions_becomes_a_task_that_validates(tmp_path: Path) -> None:
    made = task(prompt="length {length}", max_tokens=24, place=tmp_path)(Words)
    assert (made.name, made.folder.name[:6]) == ("words", "words-")
    checks = made.validate()
    assert all(check.ok for check in checks), [check for check in checks if not check.ok]
    assert find_task(str(made.folder)).manifest.defaults["model"]["base"] == "seed"
    assert len(made.draw("gate", 3)) == 3
    with pytest.raises(SettingsError, match="sealed"):
        made.draw("test", 1)


@pytest.mark.slow
def test_a_task_without_trials_and_examples_validates_too(tmp_path: Path) -> None:
    class Fixed:
        draw = Words.__dict__["draw"]
        score = Words.__dict__["score"]

    made = task(prompt="length {length}", candidates=0, name="fixed", place=tmp_path)(Fixed)
    checks = made.validate()
    assert all(check.ok for check in checks), [check for check in checks if not check.ok]
    assert find_task(str(made.folder)).manifest.seed_corpus is None


def test_the_same_functions_give_the_same_folder_and_others_another(tmp_path: Path) -> None:
    first = task(prompt="length {length}", place=tmp_path)(Words)
    (first.folder / "mark").write_text("kept")
    again = task(prompt="length {length}", place=tmp_path)(Words)
    other = task(prompt="a word of {length}", place=tmp_path)(Words)
    assert again == first
    assert (first.folder / "mark").exists()
    assert other != first
    assert not list(tmp_path.glob(".*"))


def test_a_class_that_is_no_task_is_refused_with_the_reason(tmp_path: Path) -> None:
    class Half:
        draw = Words.__dict__["draw"]

    class Strange(Words):
        @staticmethod
        def judge(instance: object) -> float:
            return 0.0

    with pytest.raises(SettingsError, match="has no score"):
        task(prompt="x", place=tmp_path)(Half)
    with pytest.raises(SettingsError, match=r"judge is not a static function.*draw, score"):
        task(prompt="x", place=tmp_path)(Strange)
    with pytest.raises(SettingsError, match="not a name for a task"):
        task(prompt="x", name="Upper Case", place=tmp_path)(Words)
    assert not list(tmp_path.iterdir())


def test_rows_and_a_function_become_a_task(tmp_path: Path) -> None:
    rows = [{"question": f"{n} plus {n}?", "answer": str(2 * n)} for n in range(80)]
    made = ratchet.Task.from_rows("sums", rows, right, place=tmp_path)
    assert made.name == "sums"
    assert "def right(answer: str, wanted: str)" in (made.folder / "metrics.py").read_text()
    checks = made.validate()
    assert all(check.ok for check in checks), [check for check in checks if not check.ok]
    assert Task.from_rows("sums", rows, "exact", place=tmp_path) != made
    with pytest.raises(SettingsError, match="12 rows"):
        Task.from_rows("sums", rows[:12], "exact", place=tmp_path)

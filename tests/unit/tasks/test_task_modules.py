"""Tests of several tasks share a process: each has its own modules, the same ones each time."""

from shared.tasks.task import TASKS
from tests.parts.task_modules import load_module


def test_a_task_finds_its_modules_again_after_those_of_another_were_loaded():
    data = load_module(TASKS / "denoising", "data.py")
    other = load_module(TASKS / "lawbench", "data.py")
    verifier = load_module(TASKS / "denoising", "verifier.py")

    assert verifier.matrices is data.matrices
    assert load_module(TASKS / "lawbench", "verifier.py").normal.__module__ == "charges"
    assert other.default_labels.__module__ == "charges"

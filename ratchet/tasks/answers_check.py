"""A check of `ratchet validate` for verifiers with right answers: they get the highest score, and the
scaffold can turn them into demonstrations.
"""

from __future__ import annotations

from ratchet.tasks.attempt_check import Trial
from sandbox_service.demonstrating import demonstrations
from shared.errors import TaskError
from shared.harness.scaffold_check import has_function
from shared.tasks.task import Task

ASKED = 16  # train instances that are asked for


def offers_answers(task: Task) -> bool:
    return has_function((task.folder / "verifier.py").read_bytes(), "answers")


def check(task: Task, trial: Trial) -> str:
    """Raises TaskError."""
    if not has_function(trial.harness.scaffold, "demonstrate"):
        raise TaskError("verifier.py has answers, but scaffold.py no demonstrate", "docs/tasks.md shows both")
    listed = trial.evaluator.answers(task, ASKED, 1)
    for instance, answers in listed:
        for answer, found in zip(answers, trial.evaluate(instance, answers), strict=True):
            if found.score < task.manifest.score.high:
                raise TaskError(
                    f"instance {instance['id']}: the right answer {answer!r} scores {found.score}"
                )
    made, failure = demonstrations(trial.store, trial.pool, trial.folder, task, listed, trial.digest)
    if failure:
        raise TaskError(f"demonstrate failed: {failure}")
    known = sum(bool(answers) for _, answers in listed)
    return f"of {known} of {len(listed)} train instances; {len(made.items)} demonstrations"

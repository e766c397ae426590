"""What each step of a run may cost at most, before anything is started: for `--dry-run` and for the budget.

Tokens are the replies' (prompts are not known beforehand); an attempt's final answer is one evaluation more.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.config.settings import RunConfig
from shared.decisions.levers import arms_in_use
from shared.tasks.task import Task


@dataclass(frozen=True)
class Step:
    name: str
    evaluations: int
    tokens: int
    attempts: int = 0


def plan(config: RunConfig, task: Task) -> list[Step]:
    """The steps of one generation, the sealed test, and the whole run."""
    turn = [
        train_step(config, task),
        screen_step(config, task),
        confirm_step(config, task, config.gate.max_pairs),
    ]
    test = test_step(config, task, releases=2)
    generation = _sum("one generation, at most", turn)
    everything = [generation] * config.run.generations
    whole = _sum(f"the whole run, at most ({config.run.generations} generations)", [*everything, test])
    return [*turn, generation, test, whole]


def train_step(config: RunConfig, task: Task) -> Step:
    return _step(task, "train rollouts", config.rollouts.instances * config.rollouts.attempts)


def screen_step(config: RunConfig, task: Task) -> Step:
    arms = arms_in_use(config)
    return _step(task, f"screen of {', '.join(arms)}", config.gate.screen_instances * len(arms))


def confirm_step(config: RunConfig, task: Task, pairs: int) -> Step:
    return _step(task, f"confirmation, {pairs} pairs", 2 * pairs)


def test_step(config: RunConfig, task: Task, releases: int) -> Step:
    return _step(task, "sealed test", config.gate.test_instances * releases)


def _step(task: Task, name: str, attempts: int) -> Step:
    limits = task.manifest.attempt
    evaluations = attempts * (limits.candidates + 1)
    return Step(name, evaluations, attempts * limits.requests * limits.max_tokens, attempts)


def _sum(name: str, steps: list[Step]) -> Step:
    return Step(
        name,
        sum(step.evaluations for step in steps),
        sum(step.tokens for step in steps),
        sum(step.attempts for step in steps),
    )

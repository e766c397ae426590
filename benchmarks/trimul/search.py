"""The loop against random search and Optuna (TPE) over one schedule space, at equal evaluations.

It knows no task: a space is choices by name, an evaluator gives a schedule's score in evaluation number i (so
that all methods meet the same instances in the same order). Every evaluation is recorded.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import optuna

Value = int | float | str | bool
Schedule = dict[str, Value]
Space = Mapping[str, Sequence[Value]]
Evaluate = Callable[[Schedule, int], float]


@dataclass(frozen=True)
class Trial:
    schedule: Schedule
    score: float


def random_search(space: Space, evaluate: Evaluate, evaluations: int, seed: int) -> list[Trial]:
    rng = random.Random(seed)
    drawn = [{name: rng.choice(choices) for name, choices in space.items()} for _ in range(evaluations)]
    return [Trial(schedule, evaluate(schedule, number)) for number, schedule in enumerate(drawn)]


def optuna_search(space: Space, evaluate: Evaluate, evaluations: int, seed: int) -> list[Trial]:
    """TPE with its own defaults: the first ten at random."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    found = []
    for number in range(evaluations):
        asked = study.ask()
        schedule = {name: asked.suggest_categorical(name, choices) for name, choices in space.items()}
        found.append(Trial(schedule, evaluate(schedule, number)))
        study.tell(asked, found[-1].score)
    return found


def curve(scores: Sequence[float], window: int = 16) -> dict[str, list[float]]:
    """Of a method's scores in order: the best so far, and the mean of the last `window`."""
    means = [sum(scores[max(0, end - window) : end]) / min(window, end) for end in range(1, len(scores) + 1)]
    return {"best": list(accumulate(scores, max)), "recent_mean": means}


def compare(
    space: Space, evaluate: Evaluate, evaluations: int, seed: int, loop_scores: Sequence[float] = ()
) -> dict[str, object]:
    """Curves and final figures of every method. `loop_scores`: what a run's candidates scored, in order."""
    methods: dict[str, list[float]] = {}
    trials: dict[str, list[Trial]] = {}
    for name, search in (("random", random_search), ("optuna", optuna_search)):
        trials[name] = search(space, evaluate, evaluations, seed)
        methods[name] = [trial.score for trial in trials[name]]
    if loop_scores:
        methods["loop"] = list(loop_scores[:evaluations])
    curves = {name: curve(scores) for name, scores in methods.items()}
    return {
        "evaluations": {name: len(scores) for name, scores in methods.items()},
        "best": {name: max(scores) for name, scores in methods.items()},
        "last_mean": {name: curves[name]["recent_mean"][-1] for name in methods},
        "curves": curves,
        "trials": {name: [vars(trial) for trial in found] for name, found in trials.items()},
    }

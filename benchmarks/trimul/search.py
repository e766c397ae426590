"""The loop against random search and Optuna (TPE) over one schedule space, at equal evaluations.

It knows no task: a space is choices by name, an evaluator gives a schedule's score in evaluation number i (so
that all methods meet the same instances in the same order). Every evaluation is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate

from ratchet.compare.samplers import SAMPLERS, Point, Space
from shared.messages.records import JsonObject

SEARCHES = ("random", "optuna")
Evaluate = Callable[[Point, int], float]


def searched(method: str, space: Space, evaluate: Evaluate, evaluations: int, seed: int) -> list[JsonObject]:
    """Every schedule in order, with its score. `method`: one of ratchet/compare/samplers.py."""
    sampler = SAMPLERS[method](space, seed)
    trials: list[JsonObject] = []
    for number in range(evaluations):
        schedule = sampler.ask()
        score = evaluate(schedule, number)
        sampler.tell(score)
        trials.append({"schedule": schedule, "score": score})
    return trials


def curve(scores: Sequence[float], window: int = 16) -> dict[str, list[float]]:
    """Of a method's scores in order: the best so far, and the mean of the last `window`."""
    means = [sum(scores[max(0, end - window) : end]) / min(window, end) for end in range(1, len(scores) + 1)]
    return {"best": list(accumulate(scores, max)), "recent_mean": means}


def compare(
    space: Space, evaluate: Evaluate, evaluations: int, seed: int, loop_scores: Sequence[float] = ()
) -> JsonObject:
    """Curves and final figures of every method. `loop_scores`: what a run's candidates scored, in order."""
    trials = {name: searched(name, space, evaluate, evaluations, seed) for name in SEARCHES}
    methods = {name: [float(trial["score"]) for trial in found] for name, found in trials.items()}
    if loop_scores:
        methods["loop"] = list(loop_scores[:evaluations])
    curves = {name: curve(scores) for name, scores in methods.items()}
    return {
        "evaluations": {name: len(scores) for name, scores in methods.items()},
        "best": {name: max(scores) for name, scores in methods.items()},
        "last_mean": {name: curves[name]["recent_mean"][-1] for name in methods},
        "curves": curves,
        "trials": trials,
    }

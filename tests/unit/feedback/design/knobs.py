"""A made-up task with a known response surface: six knobs, of which two help and help each other, one harms
and three do nothing. An attempt's score depends on its setting, its instance and noise alone."""

from __future__ import annotations

import random
from collections.abc import Callable

from feedback_service.design.contenders import Changed, Study, winner
from feedback_service.design.levels import Settings, Space, space_of
from feedback_service.design.rungs import RUNGS, next_rung
from feedback_service.design.surface import Gain, Observation, Surface
from shared.harness.bundle import Harness, Knob

INSTANCES = [f"i{number}" for number in range(32)]
ATTEMPTS = 128
WORTH = 0.02

Truth = Callable[[Settings], float]


def choice(value: bool | int | float | str, *choices: bool | int | float | str) -> Knob:
    return Knob(kind="choice", value=value, choices=list(choices))


def harness(**knobs: Knob) -> Harness:
    return Harness(knobs, {}, [], "")


SIX = harness(
    examples=choice(0, 0, 1, 3, 5),
    sorted=choice("by name", "by name", "by rank"),
    strict=choice(True, True, False),
    tone=choice("plain", "plain", "kind", "short"),
    votes=choice(1, 1, 3, 5),
    width=Knob(kind="int", value=20, low=10, high=40),
)
CORNER = {"examples": 5, "sorted": "by rank"}


def surface(settings: Settings) -> float:
    score = {0: 0.0, 1: 0.05, 3: 0.1, 5: 0.15}[int(settings["examples"])]
    score += 0.1 * (settings["sorted"] == "by rank") - 0.25 * (settings["strict"] is False)
    return 0.4 + score + 0.1 * (settings["examples"] == 5 and settings["sorted"] == "by rank")


def flat(settings: Settings) -> float:
    return 0.4


def space(made: Harness = SIX) -> Space:
    return space_of(made, trials=True, first=True)


def study(made: Space, observations: list[Observation]) -> Study:
    return Study(made, observations, Surface(made, observations), WORTH, lambda changed: False)


def experiment(
    truth: Truth, seed: int, noise: float = 0.15
) -> tuple[tuple[Changed, Gain] | None, list[Observation]]:
    """A whole design: the winner, if there is one, and all attempts, those of the live setting first."""
    rng, made = random.Random(seed), space()
    ease = {name: rng.gauss(0, 0.1) for name in INSTANCES}

    def attempt(settings: Settings, name: str) -> Observation:
        return Observation(name, settings, truth(settings) + ease[name] + rng.gauss(0, noise))

    observations = [attempt(made.live, name) for name in INSTANCES]
    for rung in range(RUNGS):
        for trial in next_rung(study(made, observations), rung, ATTEMPTS, INSTANCES, seed):
            settings = made.whole(trial.changed)
            observations += [attempt(settings, INSTANCES[number]) for number in trial.instances]
    return winner(study(made, observations)), observations

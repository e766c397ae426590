"""Black-box searches over a space of choices, by ask and tell: at random, Optuna's TPE, and CMA-ES with
categorical variables (CatCMA with margin, of `cmaes`). They know no task, and what they ask next follows from
the seed and what they were told.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import optuna
from cmaes import CatCMAwM

Value = int | float | str | bool
Point = dict[str, Value]
Space = Mapping[str, Sequence[Value]]


class Sampler(Protocol):
    def ask(self) -> Point: ...

    def tell(self, score: float) -> None:
        """The score of the point that was asked last; higher is better."""


class RandomSampler:
    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._rng = random.Random(seed)

    def ask(self) -> Point:
        return {name: self._rng.choice(choices) for name, choices in self._space.items()}

    def tell(self, score: float) -> None:
        """Nothing is learned."""


class OptunaSampler:
    """TPE with Optuna's own defaults: the first ten at random."""

    def __init__(self, space: Space, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))

    def ask(self) -> Point:
        self._trial = self._study.ask()
        return {name: self._trial.suggest_categorical(name, choices) for name, choices in self._space.items()}

    def tell(self, score: float) -> None:
        self._study.tell(self._trial, score)


class CmaSampler:
    """Numbers, of which there are more than two, are ordered variables; all else is categorical. The places
    of ordered values are searched, not the values: knobs such as 8, 16, 32 are even steps."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._ordered = [name for name, choices in space.items() if _is_ordered(choices)]
        self._others = [name for name in space if name not in self._ordered]
        self._optimizer = CatCMAwM(
            z_space=[list(range(len(space[name]))) for name in self._ordered] or None,
            c_space=[len(space[name]) for name in self._others] or None,
            seed=seed,
        )
        self._told: list[tuple[object, float]] = []

    def ask(self) -> Point:
        self._asked = self._optimizer.ask()
        places = dict(zip(self._ordered, map(int, self._asked.z if self._ordered else ()), strict=True))
        chosen = self._asked.c.argmax(axis=1) if self._others else ()
        places |= dict(zip(self._others, map(int, chosen), strict=True))
        return {
            name: sorted(choices)[places[name]] if name in self._ordered else choices[places[name]]  # type: ignore[type-var]
            for name, choices in self._space.items()
        }

    def tell(self, score: float) -> None:
        self._told.append((self._asked, -score))  # it minimises
        if len(self._told) == self._optimizer.population_size:
            self._optimizer.tell(self._told)
            self._told = []


def _is_ordered(choices: Sequence[Value]) -> bool:
    return len(choices) > 2 and all(isinstance(one, int | float) for one in choices)


SAMPLERS: dict[str, Callable[[Space, int], Sampler]] = {
    "random": RandomSampler,
    "optuna": OptunaSampler,
    "cmaes": CmaSampler,
}

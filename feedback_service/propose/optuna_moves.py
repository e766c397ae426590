"""Knob moves by Optuna's ask and tell over the declared bounds. The study is rebuilt from the run's history
each time: its trials are what the screens measured, so no state is kept between two generations."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from feedback_service.propose.moves import Move
from shared.harness.bundle import Harness, Knob, KnobValue
from shared.messages.proposals import Edit

STARTUP = 3  # measured harnesses before the sampler uses its model
KNOBS_A_MOVE = 2


@dataclass(frozen=True)
class Measured:
    """A past harness with the gain that its arm showed in a screen, on a scale common to the run."""

    knobs: dict[str, KnobValue]
    value: float


def ask(harness: Harness, measured: Sequence[Measured], seed: int, late: Collection[str] = ()) -> Move | None:
    """A move of one or two knobs towards what the sampler asks for. None: there is no knob to move.
    `late`: knobs that are moved only where no other is asked to: moved before, or of little help."""
    space = {name: _distribution(knob) for name, knob in harness.knobs.items() if not _frozen(knob)}
    if not space:
        return None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for past in measured:
        params = {name: past.knobs[name] for name in space if name in past.knobs}
        if set(params) == set(space) and all(not harness.knobs[name].fault(v) for name, v in params.items()):
            study.add_trial(optuna.trial.create_trial(params=params, distributions=space, value=past.value))
    wanted = study.ask(space).params
    changed = sorted(name for name, value in wanted.items() if value != harness.knobs[name].value)
    if not changed:
        return None
    shuffled = random.Random(seed).sample(changed, len(changed))
    first = [name for name in shuffled if name not in late] or shuffled
    chosen = sorted(first[:KNOBS_A_MOVE])
    edits = tuple(Edit(kind="set_knob", path=name, new=wanted[name]) for name in chosen)
    values = ", ".join(f"{edit.path} = {_text(edit.new)}" for edit in edits)
    return Move(
        edits, f"try {values}: the knob search asks for it after {len(study.trials) - 1} measured harnesses"
    )


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _frozen(knob: Knob) -> bool:
    one_value = len(knob.choices or []) < 2 if knob.kind == "choice" else not _range(knob)
    return one_value or not knob.searched


def _range(knob: Knob) -> tuple[float, float] | None:
    return (
        (knob.low, knob.high)
        if knob.low is not None and knob.high is not None and knob.low < knob.high
        else None
    )


def _distribution(knob: Knob) -> BaseDistribution:
    if knob.kind == "choice":
        return CategoricalDistribution(knob.choices or [])
    low, high = _range(knob) or (0.0, 0.0)
    return IntDistribution(int(low), int(high)) if knob.kind == "int" else FloatDistribution(low, high)

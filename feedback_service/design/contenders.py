"""Which settings stay in a design: from rung to rung fewer of them, each on more instances (successive
halving); and which one is proposed in the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from feedback_service.design.levels import Settings, Space
from feedback_service.design.surface import Gain, Observation, Surface
from shared.harness.bundle import KnobValue

MOST_MOVED = 4  # knobs of a setting that is built up from single moves
SURE = 0.95  # probability of a gain that a proposal needs
OPTIMISM = 0.5  # standard errors that count for a setting while there are attempts left to try it
HOPE = 1.28  # standard errors: a level whose gain so bounded is not worth it is settled
FEWEST_RUNS = 8  # attempts of a setting before it may be proposed

Changed = dict[str, KnobValue]  # the knobs that differ from the live setting


@dataclass(frozen=True)
class Study:
    """Everything that is known of the knobs. `worth`: what one more moved knob must bring, as a share of the
    score's range. `closed`: settings that are not to be proposed (again)."""

    space: Space
    observations: Sequence[Observation]
    surface: Surface
    worth: float
    closed: Callable[[Changed], bool]

    def runs(self) -> Counter[tuple[tuple[str, KnobValue], ...]]:
        """How many attempts each setting had under the live conditions, by what it moves."""
        counted = (item for item in self.observations if item.noise == 1.0)
        return Counter(_key(self.space.moved(self.space.whole(item.settings))) for item in counted)


def open_levels(study: Study) -> dict[str, tuple[KnobValue, ...]]:
    """The levels that may still bring something, by knob."""
    found = {}
    for name, values in study.space.others.items():
        gains = study.surface.gains([study.space.whole({name: value}) for value in values])
        hopeful = [
            value
            for value, gain in zip(values, gains, strict=True)
            if gain.mean + HOPE * gain.error > study.worth
        ]
        if hopeful:
            found[name] = tuple(hopeful)
    return found


def contenders(study: Study, count: int) -> list[Changed]:
    """The most promising settings: those that ran, and those that the surface builds up from single moves."""
    pool = _unique([*(dict(key) for key in study.runs()), *built_up(study)])
    ranked = _ranked(study, [changed for changed in pool if changed and not study.closed(changed)], OPTIMISM)
    return [changed for value, changed, _ in ranked if value > 0][:count]


def built_up(study: Study) -> list[Changed]:
    """The best single move, that and the best second one, and so on, as long as each is worth it."""
    built: list[Changed] = []
    changed: Changed = {}
    reached = 0.0
    while len(changed) < MOST_MOVED:
        moves = [
            {**changed, name: value}
            for name, values in study.space.others.items()
            if name not in changed
            for value in values
        ]
        ranked = _ranked(study, moves)
        if not ranked or ranked[0][2].mean - reached <= study.worth:
            break
        changed, reached = ranked[0][1], ranked[0][2].mean
        built.append(changed)
    return built


def winner(study: Study) -> tuple[Changed, Gain] | None:
    """The best setting among those that ran often enough, if it is surely better than the live one."""
    tried = [dict(key) for key, count in study.runs().items() if key and count >= FEWEST_RUNS]
    ranked = _ranked(study, [changed for changed in tried if not study.closed(changed)])
    for value, changed, gain in ranked:
        if value > 0 and gain.sure >= SURE:
            return changed, gain
    return None


def _ranked(
    study: Study, settings: Sequence[Changed], optimism: float = 0.0
) -> list[tuple[float, Changed, Gain]]:
    """Best first, each with its worth: the gain (and so many standard errors) less what every moved knob must
    bring."""
    gains = study.surface.gains([study.space.whole(changed) for changed in settings])
    valued = [
        (gain.mean + optimism * gain.error - study.worth * len(changed), changed, gain)
        for changed, gain in zip(settings, gains, strict=True)
    ]
    return sorted(valued, key=lambda item: (-item[0], repr(_key(item[1]))))


def _key(changed: Settings) -> tuple[tuple[str, KnobValue], ...]:
    return tuple(sorted(changed.items()))


def _unique(settings: Sequence[Changed]) -> list[Changed]:
    return list({_key(changed): changed for changed in settings}.values())

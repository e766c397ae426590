"""The pairs of a confirmation when some of them were lost on the way, so that no arm gains by what it loses.

A pair of which an arm was lost is tried again, each arm alone: base, then the other. Where one arm is lost
once more and the other is not, the loss is that arm's doing and counts its lowest score; of base, only if it
is lost after the other has come back, too: an outage that ends between the two tries would else count as a
gain. Where both are lost, it was the infrastructure: the pair is left out and counted, and too many of them
leave the confirmation unproven (gate.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.decisions.arms import final_score, instance_key
from shared.messages.records import AttemptState, JsonObject, ShardState
from shared.tasks.task import ScoreSection


@dataclass(frozen=True)
class Settled:
    """One round. `pending`: instances that are still to be tried with each arm alone."""

    differences: tuple[float, ...]  # in the instances' order, so that losses don't come late
    compared: tuple[JsonObject, ...]  # the instance of each difference
    pending: tuple[JsonObject, ...]
    lost: int  # pairs left out
    faults: dict[str, int]  # by arm: pairs in which it counts its lowest score because it alone was lost


def settle(
    together: Iterable[ShardState],
    alone: Mapping[str, Iterable[ShardState]],
    chosen: str,
    instances: Sequence[JsonObject],
    bounds: ScoreSection,
    base_again: Iterable[ShardState] | None = (),
) -> Settled:
    """`alone`: by arm, the shards of what was tried again with this arm alone; no entry: not tried yet.
    `base_again`: of base's second try alone; None: not made yet."""
    paired = _by_instance(together)
    again = {arm: _by_instance(states) for arm, states in alone.items()}
    last = _by_instance(base_again or ())
    differences: list[float] = []
    compared: list[JsonObject] = []
    pending: list[JsonObject] = []
    lost, faults = 0, {"base": 0, chosen: 0}
    for instance in instances:
        key = instance_key(instance)
        back = paired.get(key, {})  # also of attempts that could not be timed: those are not tried again
        if len(back) < len(faults):
            if not set(faults) <= set(again):
                pending.append(instance)
                continue
            back = {arm: again[arm][key][arm] for arm in faults if key in again[arm]}
            if set(back) == {chosen}:
                if base_again is None:
                    pending.append(instance)
                    continue
                back |= last.get(key, {})
        found = _difference(back, chosen, bounds)
        if found is None:
            lost += 1
            continue
        differences.append(found)
        compared.append(instance)
        for arm in faults:
            faults[arm] += arm not in back
    return Settled(tuple(differences), tuple(compared), tuple(pending), lost, faults)


def _by_instance(states: Iterable[ShardState]) -> dict[str, dict[str, AttemptState]]:
    """instance -> arm -> attempt; a confirmation makes one attempt of each. Not what was lost within a shard
    that came back."""
    found: dict[str, dict[str, AttemptState]] = {}
    for attempt in (attempt for state in states for attempt in state.attempts):
        if attempt.final is None or attempt.final.outcome != "lost":
            found.setdefault(instance_key(attempt.plan.instance), {})[attempt.plan.arm] = attempt
    return found


def _difference(back: Mapping[str, AttemptState], chosen: str, bounds: ScoreSection) -> float | None:
    """Chosen minus base; an arm that is missing beside one that is there counts its lowest."""
    if not back:
        return None
    scores = {arm: final_score(back[arm], bounds) if arm in back else bounds.low for arm in ("base", chosen)}
    mine, base = scores[chosen], scores["base"]
    return None if mine is None or base is None else mine - base

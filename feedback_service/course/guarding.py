"""Takes the live release back by itself where a guard of it has tripped."""

from __future__ import annotations

from collections.abc import Iterator

from feedback_service.course.situation import Situation
from shared.decisions.guards import tripped, watch
from shared.ledger.history.state import Generation
from shared.messages.events import ReleaseRolledBack
from shared.messages.evidence import GuardRecord
from shared.messages.records import AttemptState, Purpose
from shared.store.store import put_json


def taken_back(now: Situation) -> list[ReleaseRolledBack]:
    """The roll-back to the release before the last promotion, with its evidence; nothing where no guard has
    tripped."""
    live = now.history.release
    promotion = next((one for one in reversed(now.history.promotions) if one.promoted == live), None)
    if promotion is None or promotion.release is None:
        return []
    later = [one for one in now.history.generations if one.number > promotion.number and one.release == live]
    before = _base_attempts(now, promotion, ("confirm",))
    since = [attempt for one in later for attempt in _base_attempts(now, one, ("screen", "confirm"))]
    guards = watch(now.config.gate, now.task.manifest.attempt, before, since)
    if not (why := tripped(guards)):
        return []
    record = GuardRecord(promoted_in=promotion.number, guards=guards)
    return [
        ReleaseRolledBack(
            run_id=now.run_id,
            generation=now.history.generations[-1].number,
            release=promotion.release,
            number=len(now.history.rollbacks) + 1,
            why=f"to the release before generation {promotion.number}: {why}",
            evidence=put_json(now.store, record),
        )
    ]


def _base_attempts(
    now: Situation, generation: Generation, purposes: tuple[Purpose, ...]
) -> Iterator[AttemptState]:
    for (purpose, _), rollout in sorted(generation.rollouts.items()):
        if purpose in purposes:
            for state in now.states(rollout):
                yield from (attempt for attempt in state.attempts if attempt.plan.arm == "base")

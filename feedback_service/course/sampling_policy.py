"""Under which release a generation's train attempts run: the live one, with the newest adapter that was not
promoted, unless the gate measured a loss beyond its noise. Small steps of the weights then add up until they
can be confirmed, instead of being taken anew from the live adapter. The gate still compares with the live
release.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from feedback_service.course.situation import Situation
from shared.decisions.intervals import standard_error
from shared.decisions.levers import Lever, levers_in_use
from shared.ledger.history.state import Generation
from shared.messages.evidence import GateRecord
from shared.messages.records import Release
from shared.store.store import get_record


def sampling_release(now: Situation, levers: tuple[Lever, ...]) -> Release:
    """Of the next generation, which pulls `levers` (empty: all that the config allows)."""
    live = now.history.release
    assert live is not None, "a run has a live release before its first generation"
    if "weights" not in (levers or levers_in_use(now.config)):
        return live
    for past in reversed(now.history.generations):
        if (past.promoted or past.release) != live:
            break
        if past.weights and past.weights.made and past.arm not in ("weights", "both"):
            return live if _lost(now, past) else live.model_copy(update={"adapter": past.weights.made})
    return live


def _lost(now: Situation, generation: Generation) -> bool:
    """Whether its adapter scored worse, by more than a standard error, under the harness that is live now: on
    the confirmed pairs where it was the chosen arm, else on the screen's instances. Unmeasured it counts as
    lost."""
    if generation.evidence is None:
        return True
    record = get_record(now.store, generation.evidence, GateRecord)
    differences: Sequence[float] = record.differences
    if record.chosen != "weights" or not differences:
        arms = ("both", "harness") if generation.promoted else ("weights", "base")
        with_adapter, without = (record.screen_scores.get(arm, ()) for arm in arms)
        differences = [a - b for a, b in zip(with_adapter, without, strict=False)]
    return len(differences) < 2 or fmean(differences) < -standard_error(differences)

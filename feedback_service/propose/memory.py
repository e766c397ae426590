"""What the run remembers of its harness patches: which failed, and what each harness measured. Read from the
history and the store; nothing is kept anywhere else."""

from __future__ import annotations

import math
from dataclasses import dataclass

from feedback_service.propose.optuna_moves import Measured
from shared.harness.bundle import load_harness
from shared.ledger.history import Generation, RunHistory
from shared.messages.proposals import Edit, Patch
from shared.messages.records import GateRecord
from shared.store.store import Store, get_bundle, get_record


@dataclass(frozen=True)
class PastPatch:
    base: str
    edits: tuple[Edit, ...]
    failed: bool  # refused, or measured no better than base, or picked and not confirmed
    outcome: str


@dataclass(frozen=True)
class Memory:
    patches: tuple[PastPatch, ...]
    measured: tuple[Measured, ...]


def remember(history: RunHistory, store: Store) -> Memory:
    patches: list[PastPatch] = []
    measured: list[Measured] = []
    reached = 0.0  # what harness changes alone have brought so far, by the screens
    for generation in history.generations:
        record = get_record(store, generation.evidence, GateRecord) if generation.evidence else None
        gain = harness_gain(record)
        proposal = generation.harness
        if proposal and proposal.digest and (proposal.refused or _same_weights(generation, history)):
            patches.append(_past(generation, get_record(store, proposal.digest, Patch), gain))
        if record and record.screen_scores and generation.release:
            measured.append(Measured(_knobs(store, generation.release.harness), reached))
            if gain is not None and proposal and proposal.made:
                measured.append(Measured(_knobs(store, proposal.made), reached + gain))
                reached += gain if generation.arm in ("harness", "both") else 0.0
    return Memory(tuple(patches), tuple(measured))


def _same_weights(generation: Generation, history: RunHistory) -> bool:
    """Was it measured with the weights that are live now? What did not help other weights may help these."""
    then, now = generation.release, history.release
    return then is not None and now is not None and then.adapter == now.adapter


def harness_gain(record: GateRecord | None) -> float | None:
    """Harness arm minus base, as the screen measured it."""
    if record is None or not {"base", "harness"} <= set(record.screen_scores):
        return None
    pairs = zip(record.screen_scores["harness"], record.screen_scores["base"], strict=True)
    differences = [mine - base for mine, base in pairs]
    return math.fsum(differences) / len(differences)


def _past(generation: Generation, patch: Patch, gain: float | None) -> PastPatch:
    assert generation.harness is not None
    if generation.harness.refused:
        return PastPatch(patch.base, patch.edits, True, f"refused: {generation.harness.refused}")
    if gain is not None and gain <= 0:
        return PastPatch(patch.base, patch.edits, True, f"no better than base in the screen ({gain:+.3f})")
    if generation.decision == "rejected":
        return PastPatch(patch.base, patch.edits, True, generation.why)
    return PastPatch(patch.base, patch.edits, False, generation.why)


def _knobs(store: Store, harness: str) -> dict[str, bool | int | float | str]:
    return load_harness(get_bundle(store, harness)).values

"""The run's memory of its harness patches: which failed, and what each harness measured. Read from the
history and the store; nothing is kept anywhere else."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from feedback_service.propose.moves import edit_key
from feedback_service.propose.optuna_moves import Measured
from shared.decisions.gate import decide, was_judged
from shared.decisions.intervals import standard_error
from shared.harness.bundle import load_harness
from shared.ledger.history.state import Generation, RunHistory
from shared.messages.evidence import GateRecord
from shared.messages.proposals import Edit, Patch
from shared.store.store import Store, get_bundle, get_record

Fate = Literal["failed", "unproven", "kept"]
CLEAR = 2.0  # standard errors below base at which the screen alone counts as a failure
TRIES = 2  # of a patch that looked well and was never confirmed


@dataclass(frozen=True)
class PastPatch:
    """failed: refused, clearly worse in the screen, or not confirmed by a confirmation of its own.
    unproven: no confirmation ever judged it, so nothing is held against its edits."""

    base: str
    edits: tuple[Edit, ...]
    fate: Fate
    outcome: str
    promising: bool = False  # unproven, but above base in the screen: worth another try

    @property
    def failed(self) -> bool:
        return self.fate == "failed"


@dataclass(frozen=True)
class Memory:
    patches: tuple[PastPatch, ...]
    measured: tuple[Measured, ...]

    @property
    def moved(self) -> set[str]:
        """Knobs that some patch has moved, on whatever harness."""
        return {edit.path for past in self.patches for edit in past.edits if edit.kind == "set_knob"}

    def refused(self, base: str) -> dict[str, str]:
        """The buffer of refused edits of this harness: those that failed alone, each with what came of it."""
        alone = (past for past in self.patches if past.base == base and past.failed and len(past.edits) == 1)
        return {edit_key(past.edits[0]): past.outcome for past in alone}

    def closed(self, base: str) -> set[frozenset[str]]:
        """Patches of this harness that are not to be proposed again, as keys of their edits."""
        keys = Counter(_key(past) for past in self.patches if past.base == base)
        promising = {_key(past) for past in self.patches if past.base == base and past.promising}
        failed = {_key(past) for past in self.patches if past.base == base and past.failed}
        return {key for key, tries in keys.items() if key in failed or key not in promising or tries >= TRIES}


def _key(past: PastPatch) -> frozenset[str]:
    return frozenset(map(edit_key, past.edits))


def remember(history: RunHistory, store: Store) -> Memory:
    patches: list[PastPatch] = []
    measured: list[Measured] = []
    reached = 0.0  # what harness changes alone have brought so far, by the screens
    for generation in history.generations:
        record = get_record(store, generation.evidence, GateRecord) if generation.evidence else None
        gains = harness_gains(record)
        gain = math.fsum(gains) / len(gains) if gains else None
        proposal = generation.harness
        if proposal and proposal.digest and (proposal.refused or _same_weights(generation, history)):
            patches.append(_past(generation, get_record(store, proposal.digest, Patch), record))
        if record and record.screen_scores and generation.release:
            measured.append(Measured(_knobs(store, generation.release.harness), reached))
            if gain is not None and proposal and proposal.made:
                measured.append(Measured(_knobs(store, proposal.made), reached + gain))
                reached += gain if generation.arm in ("harness", "both") else 0.0
    return Memory(tuple(patches), tuple(measured))


def _same_weights(generation: Generation, history: RunHistory) -> bool:
    """Whether it was measured with the weights that are live now: an edit that did not help others may help
    these."""
    then, now = generation.release, history.release
    return then is not None and now is not None and then.adapter == now.adapter


def harness_gains(record: GateRecord | None) -> list[float]:
    """Harness arm minus base on each instance of the screen; none where it was not measured."""
    if record is None or not {"base", "harness"} <= set(record.screen_scores):
        return []
    pairs = zip(record.screen_scores["harness"], record.screen_scores["base"], strict=True)
    return [mine - base for mine, base in pairs]


def _past(generation: Generation, patch: Patch, record: GateRecord | None) -> PastPatch:
    assert generation.harness is not None
    if generation.harness.refused:
        return PastPatch(patch.base, patch.edits, "failed", f"refused: {generation.harness.refused}")
    gains, decided = harness_gains(record), _told(record)
    if generation.arm in ("harness", "both"):
        return PastPatch(patch.base, patch.edits, "kept", decided)
    if record and record.chosen in ("harness", "both") and was_judged(record):
        return PastPatch(patch.base, patch.edits, "failed", decided)
    mean = math.fsum(gains) / len(gains) if gains else 0.0
    if len(gains) > 1 and mean + CLEAR * standard_error(gains) < 0:
        why = f"worse than base in the screen ({mean:+.3f})"
        return PastPatch(patch.base, patch.edits, "failed", why)
    shown = f"{mean:+.3f} in the screen" if gains else "not measured"
    why = f"never confirmed ({shown}): {decided}"
    return PastPatch(patch.base, patch.edits, "unproven", why, promising=mean > 0)


def _told(record: GateRecord | None) -> str:
    """The decision in words, which an advisor reads; without what was lost: the error of an endpoint or of a
    verifier may quote a gate instance."""
    return decide(record.model_copy(update={"lost": ""})).why if record else "not decided"


def _knobs(store: Store, harness: str) -> dict[str, bool | int | float | str]:
    return load_harness(get_bundle(store, harness)).values

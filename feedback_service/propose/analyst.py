"""The offline analyst: from the diagnosis to a harness patch and a weight update, each with its reason in a
sentence.

No model is asked. What was refused or failed on a harness is not proposed on it again, neither as a whole nor
edit by edit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from feedback_service.propose.diagnosis import Diagnosis
from feedback_service.propose.memory import Memory
from feedback_service.propose.moves import Move, edit_key, evidence_moves
from feedback_service.propose.objective import Choice, Evidence, choose
from feedback_service.propose.optuna_moves import ask
from shared.config.settings import TrainingSection
from shared.harness.bundle import load_harness
from shared.messages.analysis import Learning
from shared.messages.events import DemonstrationsReady
from shared.messages.proposals import Patch, WeightUpdate
from shared.messages.records import derive_seed

T = TypeVar("T", int, float)
ASKS = 20  # of the knob search, before it counts as exhausted


def propose_patch(
    base: str,
    files: Mapping[str, bytes],
    diagnosis: Diagnosis,
    memory: Memory,
    seed: int,
    state: str,
    most_edits: int,
    designed: bool = False,
) -> Patch | None:
    """A new patch against `base`, or None when nothing new is left to try. `designed`: a design of
    experiments has found no better setting, so knobs are searched further on a plateau alone."""
    harness = load_harness(files)
    past = [patch for patch in memory.patches if patch.base == base]
    failed = {edit_key(edit) for patch in past if patch.failed for edit in patch.edits}
    tried = memory.closed(base)
    evidence = [move for move in evidence_moves(harness, files, diagnosis) if not _fails(move, failed)]
    late = memory.moved | (set() if diagnosis.trials else {"temperature"})  # what was never moved goes first
    searched = (ask(harness, memory.measured, derive_seed(seed, number), late) for number in range(ASKS))
    if state == "exploring":  # on a plateau the search goes first: evidence no longer helps
        patch = _patch(base, _combine(evidence, most_edits))
        if patch and _key(patch) not in tried:
            return patch
        if designed:
            return None
    for move in searched:
        if move is not None:
            patch = _patch(base, _combine([move, *evidence] if state != "exploring" else [move], most_edits))
            if patch and _key(patch) not in tried and not _fails(move, failed):
                return patch
    return None


def _combine(moves: Sequence[Move], most: int) -> list[Move]:
    """As many moves as fit, in order; two that touch the same knob or file exclude each other."""
    taken: list[Move] = []
    for move in moves:
        edits = sum(len(other.edits) for other in taken) + len(move.edits)
        if edits <= most and not any(move.paths & other.paths for other in taken):
            taken.append(move)
    return taken


def _patch(base: str, moves: Sequence[Move]) -> Patch | None:
    edits = tuple(edit for move in moves for edit in move.edits)
    return Patch(base=base, edits=edits, reason="; ".join(move.reason for move in moves)) if edits else None


def _key(patch: Patch) -> frozenset[str]:
    return frozenset(map(edit_key, patch.edits))


def _fails(move: Move, failed: set[str]) -> bool:
    return all(edit_key(edit) in failed for edit in move.edits)


def propose_update(
    diagnosis: Diagnosis,
    shards: Sequence[str],
    training: TrainingSection,
    seed: int,
    advised: Learning | None = None,
    ready: DemonstrationsReady | None = None,
    ranks_only: bool = False,
) -> WeightUpdate | str:
    """What to train next, or why nothing can be learned. `advised`: an advisor's choices, each within its
    bounds. `ready`: the right answers that there are, where they were asked for."""
    evidence = evidence_of(diagnosis, ready, ranks_only)
    chosen = choose(evidence)
    if isinstance(chosen, str):
        return chosen
    pinned = training.algorithm != "auto"
    if pinned:
        chosen = Choice(training.algorithm, "pinned by the config")
    elif advised and advised.algorithm and not evidence.demonstrations:
        chosen = Choice(advised.algorithm, f"advisor: {advised.evidence}")
    note = f"; {ready.reason}" if ready is not None and ready.reason else ""
    return WeightUpdate(
        algorithm=chosen.algorithm,
        shards=tuple(shards),
        steps=training.steps or _of(advised, "steps", 0),
        learning_rate=training.learning_rate or _of(advised, "learning_rate", 0.0),
        kl_weight=_of(advised, "kl_weight", training.kl_weight),
        seed=seed,
        reason=f"{chosen.algorithm}: {chosen.why}; {evidence.replies} scored replies{note}",
        demonstrations=ready.demonstrations if ready is not None else "",
        evidence=evidence.recorded(),
    )


def _of(advised: Learning | None, name: str, rule: T) -> T:
    """The advised number, where there is one."""
    value = getattr(advised, name, None)
    return rule if value is None else value


def evidence_of(diagnosis: Diagnosis, ready: DemonstrationsReady | None, ranks_only: bool) -> Evidence:
    shape = diagnosis.shape
    return Evidence(
        replies=shape.n,
        mean=shape.mean,
        sd=shape.sd,
        skewness=shape.skewness,
        zero=shape.failing,
        group=diagnosis.group,
        dense=diagnosis.dense,
        demonstrations=ready.count if ready is not None and ready.demonstrations else 0,
        ranks_only=ranks_only,
    )

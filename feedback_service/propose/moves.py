"""Moves: small groups of harness edits that belong together, each from evidence, each with its reason.

Generic over the declared knobs. Three names carry a meaning, by convention: `temperature`; `pin_FIELD`, which
fixes a field of JSON replies; and a knob whose name holds `exemplar`, the number of exemplars that a prompt
shows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from feedback_service.propose.diagnosis import Diagnosis
from feedback_service.propose.effects import JsonScalar, main_effects
from shared.harness.bundle import EXEMPLARS, MAX_EXEMPLAR_BYTES, MAX_EXEMPLARS, Harness, Knob, KnobValue
from shared.messages.proposals import Edit
from shared.messages.records import JsonObject, canonical_json

PIN = "pin_"
MANY_FAIL = 0.25  # share of candidates: above it sampling is too random
FEW_DIFFER = 0.5  # share of distinct candidates: below it sampling is not random enough
STEP = 0.25  # of a knob's range
EXEMPLARS_A_MOVE = 2


@dataclass(frozen=True)
class Move:
    edits: tuple[Edit, ...]
    reason: str

    @property
    def paths(self) -> frozenset[str]:
        return frozenset(edit.path for edit in self.edits)


def edit_key(edit: Edit) -> str:
    """The key under which an edit is remembered."""
    return canonical_json(edit.model_dump(mode="json")).decode()


def evidence_moves(harness: Harness, files: Mapping[str, bytes], diagnosis: Diagnosis) -> list[Move]:
    """All moves that the diagnosis supports, the strongest evidence first."""
    moves = pin_moves(harness, diagnosis) + temperature_moves(harness, diagnosis)
    return moves + (exemplar_moves(harness, diagnosis) if EXEMPLARS in files else [])


def pin_moves(harness: Harness, diagnosis: Diagnosis) -> list[Move]:
    """Fix a field of the replies at the value that clearly scored best, where a knob pin_FIELD offers that
    value."""
    moves = []
    pins = {name.removeprefix(PIN): knob for name, knob in harness.knobs.items() if name.startswith(PIN)}
    pinned = {field: (json.dumps(knob.value), str(knob.value)) for field, knob in pins.items()}
    for effect in main_effects([diagnosis.scored, *diagnosis.earlier], pinned):
        knob = pins.get(effect.field)
        choice = matching_choice(knob, effect.value) if knob else None
        if knob and choice is not None and choice != knob.value:
            against = f"with {knob.value}" if effect.pinned else "without"
            reason = (
                f"pin {effect.field} to {effect.value}: {effect.count} replies with it scored "
                f"{effect.gain:+.3f} (standard error {effect.error:.3f}) against {effect.others} {against}"
            )
            moves.append(Move((_set(f"{PIN}{effect.field}", choice),), reason))
    return moves


def matching_choice(knob: Knob, value: JsonScalar) -> KnobValue | None:
    """The knob's value that stands for a reply's value: itself, or its text where the choices are texts."""
    text = value if isinstance(value, str) else json.dumps(value)
    return next((option for option in (value, text) if not knob.fault(option)), None)


def temperature_moves(harness: Harness, diagnosis: Diagnosis) -> list[Move]:
    """Lower the temperature when much fails, raise it when replies repeat: where candidates are tried, so
    that a different one is another chance. Where each attempt has one answer, repeating the likeliest is
    right."""
    knob = harness.knobs.get("temperature")
    if knob is None or knob.kind != "float" or knob.low is None or knob.high is None or not diagnosis.scored:
        return []
    if diagnosis.failing >= MANY_FAIL:
        direction, why = -1, f"lower the temperature: {diagnosis.failing:.0%} of the candidates failed"
        if diagnosis.failures:
            why += f", most often by {diagnosis.failures[0].kind}"
    elif diagnosis.distinct < FEW_DIFFER and diagnosis.trials:
        direction, why = 1, f"raise the temperature: only {diagnosis.distinct:.0%} of the candidates differ"
    else:
        return []
    moved = float(knob.value) + direction * STEP * (knob.high - knob.low)
    value = round(min(knob.high, max(knob.low, moved)), 3)
    return [Move((_set("temperature", value),), why)] if value != knob.value else []


def exemplar_moves(harness: Harness, diagnosis: Diagnosis) -> list[Move]:
    """Show the best train replies as exemplars; the worst one goes where the list is full."""
    name = next(
        (name for name, knob in harness.knobs.items() if "exemplar" in name and knob.kind == "int"), None
    )
    shown = {str(item.get("reply")) for item in harness.exemplars if isinstance(item, dict)}
    worst_shown = min((_exemplar_score(item) for item in harness.exemplars), default=float("-inf"))
    fresh: list[JsonObject] = [
        {"instance": item.instance, "reply": item.reply, "score": item.worth}
        for item in diagnosis.best
        if item.outcome == "ok" and item.reply not in shown and item.worth > worst_shown
    ]
    fresh = [item for item in fresh if len(json.dumps(item)) <= MAX_EXEMPLAR_BYTES][:EXEMPLARS_A_MOVE]
    if name is None or not fresh:
        return []
    full = len(harness.exemplars) + len(fresh) > MAX_EXEMPLARS
    edits = _swap(harness, fresh[0]) if full else [_add(item) for item in fresh]
    count = min(MAX_EXEMPLARS, len(harness.exemplars) + len(fresh))
    if int(harness.knobs[name].value) == 0 and not harness.knobs[name].fault(count):
        edits.append(_set(name, count))
    return [
        Move(tuple(edits), f"show the best train replies as exemplars (up to score {fresh[0]['score']:.3f})")
    ]


def _swap(harness: Harness, item: JsonObject) -> list[Edit]:
    scores = [_exemplar_score(shown) for shown in harness.exemplars]
    return [Edit(kind="drop_exemplar", path=EXEMPLARS, new=scores.index(min(scores))), _add(item)]


def _exemplar_score(item: object) -> float:
    score = item.get("score") if isinstance(item, dict) else None
    return score if isinstance(score, int | float) else float("-inf")  # an int may be beyond all floats


def _add(item: JsonObject) -> Edit:
    return Edit(kind="add_exemplar", path=EXEMPLARS, new=item)


def _set(name: str, value: KnobValue) -> Edit:
    return Edit(kind="set_knob", path=name, new=value)

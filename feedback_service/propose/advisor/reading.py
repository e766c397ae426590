"""From the text of a reply to what can be used of it. Every part that is malformed or out of bounds is
dropped alone, with its reason; nothing in a reply raises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from feedback_service.propose.advisor.answer import (
    LABEL,
    MOST_FINDINGS,
    MOST_LEFT_OUT,
    Answer,
    FindingPart,
    HarnessPart,
    WeightsPart,
)
from shared.messages.analysis import Dropped
from shared.messages.proposals import Edit
from shared.messages.records import JsonObject
from shared.model.replies.objects import objects_in

MOST_CHARS = 200_000  # of a reply, its end: the answer comes last
MOST_DEPTH = 12  # of an edit's value
MOST_DROPPED = 40  # parts that are listed
EDIT_KINDS: tuple[str, ...] = get_args(Edit.model_fields["kind"].annotation)
PARTS: tuple[str, ...] = tuple(Answer.model_fields)
M = TypeVar("M", bound=BaseModel)


@dataclass
class Read:
    """What stands in a reply, part by part, each within its bounds. Whether edits apply is not yet known."""

    findings: list[FindingPart] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    reason: str = ""
    weights: WeightsPart | None = None
    notes: str = ""
    dropped: list[Dropped] = field(default_factory=list)
    fault: str = ""  # why it is no answer at all

    def drop(self, part: str, why: str) -> None:
        if len(self.dropped) < MOST_DROPPED:
            self.dropped.append(Dropped(part=part[:80], why=why[:300]))


def read(text: str) -> Read:
    """The last object of a reply that has a part of an answer: what comes before it may be thinking aloud."""
    for found in reversed(list(objects_in(text[-MOST_CHARS:]))):
        if set(found) & set(PARTS):
            return _taken_apart(found)
    return Read(fault="there is no JSON object with findings, harness or weights in it")


def _taken_apart(found: JsonObject) -> Read:
    into = Read()
    for name in set(found) - set(PARTS):
        into.drop(name, "no such part of an answer")
    into.findings = _findings(found.get("findings", []), into)
    harness = _object(found, "harness", into)
    if harness is not None:
        edits = harness.pop("edits", [])
        into.reason = _fields(HarnessPart, harness, "harness", into).evidence
        into.edits = _edits(edits, into)
    weights = _object(found, "weights", into)
    if weights is not None:
        weights["leave_out"] = _labels(weights.get("leave_out", []), into)
        into.weights = _fields(WeightsPart, weights, "weights", into)
    notes = found.get("notes", "")
    if isinstance(notes, str):
        into.notes = notes[:1200]
    else:
        into.drop("notes", "not a text")
    return into


def _object(found: JsonObject, name: str, into: Read) -> JsonObject | None:
    value = found.get(name)
    if isinstance(value, dict):
        return dict(value)
    if value is not None:
        into.drop(name, "not an object")
    return None


def _labels(value: Any, into: Read) -> list[str]:
    if not isinstance(value, list):
        into.drop("weights.leave_out", "not a list")
        return []
    kept = [label for label in value if isinstance(label, str) and LABEL.fullmatch(label)]
    if len(kept) < len(value):
        into.drop("weights.leave_out", f"{len(value) - len(kept)} entries are no g1 or a1")
    return kept[:MOST_LEFT_OUT]


def _findings(value: Any, into: Read) -> list[FindingPart]:
    if not isinstance(value, list):
        into.drop("findings", "not a list")
        return []
    kept = []
    for number, item in enumerate(value[:MOST_FINDINGS]):
        try:
            kept.append(FindingPart.model_validate(item))
        except ValidationError as error:
            into.drop(f"findings.{number}", _first(error))
    if len(value) > MOST_FINDINGS:
        into.drop("findings", f"{len(value)} findings; at most {MOST_FINDINGS} are read")
    return kept


def _edits(value: Any, into: Read) -> list[Edit]:
    if not isinstance(value, list):
        into.drop("harness.edits", "not a list")
        return []
    kept = []
    for number, item in enumerate(value):
        where = f"harness.edits.{number}"
        if isinstance(item, dict) and too_deep(item):
            into.drop(where, f"nested deeper than {MOST_DEPTH}")
            continue
        try:
            kept.append(Edit.model_validate(_with_whole_kind(item) if isinstance(item, dict) else item))
        except ValidationError as error:
            into.drop(where, _first(error))
    return kept


def _with_whole_kind(edit: JsonObject) -> JsonObject:
    """`knob` read as `set_knob`, and so on: without constrained decoding, models shorten what can mean one
    kind alone."""
    meant = [kind for kind in EDIT_KINDS if str(edit.get("kind")) in kind.split("_")]
    return edit | {"kind": meant[0]} if len(meant) == 1 else edit


def _fields(model: type[M], found: Mapping[str, Any], where: str, into: Read) -> M:
    """The model with those fields that are valid by themselves."""
    kept: JsonObject = {}
    for name, value in found.items():
        try:
            model.model_validate({name: value})
            kept[name] = value
        except ValidationError as error:
            into.drop(f"{where}.{name}", _first(error))
    return model.model_validate(kept)


def too_deep(value: Any, most: int = MOST_DEPTH) -> bool:
    """Whether lists and objects are nested deeper than `most`; without recursion."""
    level = [value]
    for _ in range(most):
        level = [inner for item in level for inner in _inside(item)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _first(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])

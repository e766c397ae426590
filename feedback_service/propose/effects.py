"""Main effects over train candidates that are JSON objects: which value of which field goes with better
scores. A score is credited to what ran: a scaffold that renders its replies may have pinned or cut a field.

Scores are centred within their instance and generation, so that easy instances favour no value. A finding is
a hint for a patch, not a proof: many values are compared, and only the gate decides whether it holds.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from feedback_service.propose.diagnosis import Scored
from shared.decisions.arms import instance_key

RENDERED = re.compile(r"\{.*\}")  # in a line
FEWEST = 4  # replies with the value, and without it
CLEAR = 2.0  # standard errors that the difference must exceed

JsonScalar = bool | int | float | str


@dataclass(frozen=True)
class Effect:
    """Replies with field == value scored `gain` better than the other `others` replies."""

    field: str
    value: JsonScalar
    gain: float
    error: float  # standard error of the gain
    count: int
    others: int


def main_effects(rounds: Sequence[Sequence[Scored]]) -> list[Effect]:
    """For each field its best value, if that is clearly better than the rest; the surest gains first.
    `rounds`: the replies of each generation, which are compared among themselves alone."""
    groups: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for replies in (found for scored in rounds for found in _by_instance(scored)):
        mean = math.fsum(score for _, score in replies) / len(replies)
        values = [{field: json.dumps(value) for field, value in reply.items()} for reply, _ in replies]
        for field in sorted({field for reply in values for field in reply}):
            if len({reply.get(field) for reply in values}) > 1:  # else the instance says nothing of it
                for reply, (_, score) in zip(values, replies, strict=True):
                    if field in reply:
                        groups[field][reply[field]].append(score - mean)
    best = (_best_value(field, values) for field, values in sorted(groups.items()))
    return sorted((effect for effect in best if effect), key=lambda effect: effect.error - effect.gain)


def _by_instance(scored: Sequence[Scored]) -> list[list[tuple[dict[str, JsonScalar], float]]]:
    """The simple fields of replies to one instance, with their scores."""
    found: defaultdict[str, list[tuple[dict[str, JsonScalar], float]]] = defaultdict(list)
    for item in scored:
        fields = ran(item)
        if fields is not None:
            simple = {name: value for name, value in fields.items() if isinstance(value, JsonScalar)}
            found[instance_key(item.instance)].append((simple, item.score))
    return list(found.values())


def ran(item: Scored) -> dict[str, object] | None:
    """The object that the candidate's first line holds, where its scaffold writes there what it rendered (as
    a comment, say), or is; else the reply, if it is one."""
    rendered = RENDERED.search(item.content.partition("\n")[0])
    found = parse_object(rendered[0]) if rendered else None
    return found if found is not None else parse_object(item.reply)


def parse_object(text: str) -> dict[str, object] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _best_value(field: str, values: dict[str, list[float]]) -> Effect | None:
    found = []
    for value, scores in values.items():
        rest = [score for other, others in values.items() if other != value for score in others]
        if min(len(scores), len(rest)) >= FEWEST:
            gain = _mean(scores) - _mean(rest)
            error = math.sqrt(_variance(scores) / len(scores) + _variance(rest) / len(rest))
            if gain > CLEAR * error and gain > 0:
                found.append(Effect(field, json.loads(value), gain, error, len(scores), len(rest)))
    return max(found, key=lambda effect: effect.gain - effect.error, default=None)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)

"""Main effects over train candidates that are JSON objects: which value of which field goes with better
scores. A score is credited to what ran: a scaffold that renders its replies may have pinned or cut a field.

Scores are centred within their instance and generation, so that easy instances favour no value, and a field
is judged by what the other fields leave unexplained (ridge regression on all values at once). A finding is a
hint for a patch, not a proof: many values are compared, and only the gate decides whether it holds.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from feedback_service.propose.diagnosis import Scored
from shared.decisions.arms import instance_key

RENDERED = re.compile(r"\{.*\}")  # in a line
FEWEST = 4  # replies with the value, and without it
CLEAR = 1.5  # standard errors that the difference must exceed; docs/analyst.md says what others brought
PRIORS = (0.1, 1.0, 4.0, 16.0, 64.0)  # replies without an effect that are added to each value's own
NOTHING: Mapping[str, Container[str]] = MappingProxyType({})
MOST_VALUES = 400  # that are fitted at once, the most frequent ones

JsonScalar = bool | int | float | str
Array = NDArray[np.float64]
Reply = tuple[dict[str, str], float]  # JSON by field, of those that vary in its instance; the centred score


@dataclass(frozen=True)
class Effect:
    """Replies with field == value scored `gain` better than `others` replies: those with another value, or
    with the `pinned` one where there is one."""

    field: str
    value: JsonScalar
    gain: float
    error: float  # standard error of the gain
    count: int
    others: int
    pinned: bool = False


@dataclass(frozen=True)
class _Fitted:
    """All values at once, over the replies."""

    values: list[tuple[str, str]]  # field, JSON
    marks_RV: NDArray[np.bool_]  # which reply holds which value
    scores_R: Array
    parts_RV: Array  # what each value adds to each reply's score
    used_V: Array  # degrees of freedom that each value took


def main_effects(
    rounds: Sequence[Sequence[Scored]], pinned: Mapping[str, Container[str]] = NOTHING
) -> list[Effect]:
    """For each field its best value, if that is clearly better than the rest; the surest gains first.
    `rounds`: the replies of each generation, which are compared among themselves alone. `pinned`: the JSON of
    the value that a field is held at; where replies had that, another one must be better than it."""
    clear = [effect for effect in value_effects(rounds, pinned) if effect.gain > CLEAR * effect.error]
    found = [best(effects) for effects in by_field(clear).values()]
    return sorted(found, key=lambda effect: effect.error - effect.gain)


def best(effects: Sequence[Effect]) -> Effect:
    """The surest gain."""
    return max(effects, key=lambda effect: effect.gain - effect.error)


def by_field(effects: Sequence[Effect]) -> dict[str, list[Effect]]:
    found: dict[str, list[Effect]] = {}
    for effect in effects:
        found.setdefault(effect.field, []).append(effect)
    return found


def value_effects(
    rounds: Sequence[Sequence[Scored]], pinned: Mapping[str, Container[str]] = NOTHING
) -> list[Effect]:
    """Of every value with enough replies, and enough others to compare with; a loss is a negative gain."""
    replies = [reply for scored in rounds for found in _by_instance(scored) for reply in _centred(found)]
    counts = Counter(value for fields, _ in replies for value in fields.items())
    values = sorted(value for value, count in counts.most_common(MOST_VALUES) if count >= FEWEST)
    if not values:
        return []
    fitted = _fit(replies, values)
    fields = sorted({field for field, _ in values})
    return [e for field in fields for e in _effects_of(field, replies, fitted, pinned.get(field, ()))]


def _centred(found: Sequence[tuple[dict[str, JsonScalar], float]]) -> list[Reply]:
    """Of one instance; without the fields of which it says nothing, as all its replies hold the same."""
    mean = math.fsum(score for _, score in found) / len(found)
    texts = [{field: json.dumps(value) for field, value in reply.items()} for reply, _ in found]
    fields = {field for reply in texts for field in reply}
    vary = {field for field in fields if len({reply.get(field) for reply in texts}) > 1}
    return [
        ({field: text for field, text in reply.items() if field in vary}, score - mean)
        for reply, (_, score) in zip(texts, found, strict=True)
    ]


def _fit(replies: Sequence[Reply], values: list[tuple[str, str]]) -> _Fitted:
    """By ridge regression with the one of PRIORS that generalised cross-validation prefers (Golub, Heath &
    Wahba, Technometrics 1979). Degrees of freedom: the diagonal of the hat matrix, by value."""
    marks_RV = np.array([[fields.get(field) == text for field, text in values] for fields, _ in replies])
    scores_R = np.array([score for _, score in replies])
    apart_RV = marks_RV - marks_RV.mean(0)
    gram_VV = apart_RV.T @ apart_RV
    found = []
    for prior in PRIORS:
        shrunk_VV = np.linalg.inv(gram_VV + prior * np.eye(len(values)))
        parts_RV = apart_RV * (shrunk_VV @ (apart_RV.T @ scores_R))
        used_V = np.diag(shrunk_VV @ gram_VV)
        error = np.square(scores_R - parts_RV.sum(1)).sum() / max(1.0, len(replies) - used_V.sum()) ** 2
        found.append((error, parts_RV, used_V))
    _, parts_RV, used_V = min(found, key=lambda fit: fit[0])
    return _Fitted(values, marks_RV, scores_R, parts_RV, used_V)


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


def _effects_of(
    field: str, replies: Sequence[Reply], fitted: _Fitted, pinned: Container[str]
) -> list[Effect]:
    others_V = np.array([name != field for name, _ in fitted.values])
    left_R = fitted.scores_R - fitted.parts_RV[:, others_V].sum(1)
    spent = float(fitted.used_V[others_V].sum())  # what the fit of the others took from the noise
    wide = math.sqrt(len(left_R) / max(1.0, len(left_R) - spent))
    has_R = np.array([field in fields for fields, _ in replies])
    held_R = np.array([fields.get(field, "") in pinned for fields, _ in replies])
    against_R = held_R if held_R.any() else has_R
    found = []
    for value in np.flatnonzero(~others_V):
        mark_R = fitted.marks_RV[:, value]
        scores, rest = left_R[mark_R], left_R[against_R & ~mark_R]
        if min(len(scores), len(rest)) >= FEWEST:
            gain = float(scores.mean() - rest.mean())
            error = wide * math.sqrt(scores.var(ddof=1) / len(scores) + rest.var(ddof=1) / len(rest))
            held = json.loads(fitted.values[value][1])
            found.append(Effect(field, held, gain, error, len(scores), len(rest), bool(held_R.any())))
    return found

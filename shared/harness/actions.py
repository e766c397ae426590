"""What a scaffold's functions may return. Of step: exactly one of ask, try, answer, within the task's limits;
of demonstrate: prompts with right replies. What passes here is plain, complete (defaults filled in) and
bounded; everything else is ScaffoldFailed.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import RatchetError
from shared.messages.proposals import Demonstration
from shared.messages.records import JsonObject
from shared.tasks.task import AttemptSection

MAX_TEXT_CHARS = 1 << 18  # of one message or candidate: a long C program is a tenth of it
MAX_SCHEMA_BYTES = 1 << 16
MAX_SCHEMA_DEPTH = 64  # objects and lists in each other: about 30 levels of properties
MAX_MESSAGES = 64
MAX_REPLIES = 1 << 16  # to one request; a sum of numbers of thousands of digits can't be printed
MAX_DEMONSTRATIONS = 64  # of one answer
REASON_CHARS = 500

Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]


class ScaffoldFailed(RatchetError):
    """A step did not give an action: it looped, crashed, ate memory, or returned something else.

    Data, not a broken box: the attempt ends with the reason, which a model may be shown.
    """


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Message(_Strict):
    role: Literal["system", "user", "assistant"]
    content: Text


class _Request(_Strict):
    messages: list[_Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    n: int = Field(1, ge=1, le=MAX_REPLIES)
    answer_schema: dict[str, Any] | None = Field(None, alias="schema")
    temperature: float = Field(1.0, ge=0.0, le=2.0)
    max_tokens: int | None = Field(None, ge=1)


class _Candidate(_Strict):
    content: Text
    samples: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list)


class _Action(_Strict):
    ask: list[_Request] | None = Field(None, min_length=1)
    attempt: list[_Candidate] | None = Field(None, min_length=1, alias="try")
    answer: _Candidate | None = None


class _Demonstration(_Strict):
    messages: list[_Message] = Field(min_length=1, max_length=MAX_MESSAGES)
    reply: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS)]


class _Demonstrations(_Strict):
    shown: list[_Demonstration] = Field(max_length=MAX_DEMONSTRATIONS)


def check_demonstrations(raw: object, instance_id: str) -> list[Demonstration]:
    """What demonstrate may return: a list of {"messages": [...], "reply": text}."""
    try:
        shown = _Demonstrations.model_validate({"shown": raw}).shown
    except ValidationError as error:
        raise ScaffoldFailed(f"not a list of demonstrations: {_first(error)}"[:REASON_CHARS]) from None
    return [Demonstration.model_validate({"instance_id": instance_id, **one.model_dump()}) for one in shown]


def check_action(raw: object, limits: AttemptSection, reply_count: int) -> JsonObject:
    """The action as plain JSON with defaults filled in. `reply_count` bounds the `samples` indices."""
    try:
        action = _Action.model_validate(raw)
    except ValidationError as error:
        raise ScaffoldFailed(f"not an action: {_first(error)}"[:REASON_CHARS]) from None
    given = action.model_dump(by_alias=True, exclude_none=True)
    if len(given) != 1:
        raise ScaffoldFailed("an action has exactly one of ask, try, answer")
    if action.ask:
        _check_requests(action.ask, limits)
        for request in given["ask"]:
            request.setdefault("max_tokens", limits.max_tokens)
    if action.attempt and len(action.attempt) > limits.candidates:
        raise ScaffoldFailed(f"tries {len(action.attempt)} candidates; the task allows {limits.candidates}")
    for candidate in [*(action.attempt or ()), *([action.answer] if action.answer else ())]:
        if any(index >= reply_count for index in candidate.samples):
            raise ScaffoldFailed(f"samples {candidate.samples}: there are {reply_count} replies so far")
    return given


def _first(error: ValidationError) -> str:
    """The first fault of a return value, with its place."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'action'}: {first['msg']}"


def _check_requests(requests: list[_Request], limits: AttemptSection) -> None:
    asked = sum(request.n for request in requests)
    if asked > limits.requests:
        raise ScaffoldFailed(f"asks for {asked} replies; the task allows {limits.requests} an attempt")
    for request in requests:
        if request.max_tokens is not None and request.max_tokens > limits.max_tokens:
            raise ScaffoldFailed(f"max_tokens {request.max_tokens} is over the task's {limits.max_tokens}")
        if request.answer_schema is not None and _depth(request.answer_schema) > MAX_SCHEMA_DEPTH:
            raise ScaffoldFailed(f"a schema is nested more than {MAX_SCHEMA_DEPTH} deep")
        if len(json.dumps(request.answer_schema)) > MAX_SCHEMA_BYTES:
            raise ScaffoldFailed(f"a schema is longer than {MAX_SCHEMA_BYTES} bytes")


def _depth(value: object) -> int:
    """How deep lists and objects are nested in a JSON value; not more than one above MAX_SCHEMA_DEPTH."""
    level, depth = [value], 0
    while level and depth <= MAX_SCHEMA_DEPTH:
        inside = [one for one in level if isinstance(one, dict | list)]
        level = [item for one in inside for item in (one.values() if isinstance(one, dict) else one)]
        depth += bool(inside)
    return depth

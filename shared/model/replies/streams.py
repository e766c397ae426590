"""Puts a streamed completion (server-sent events) together to what an unstreamed one would have been: some
servers stream whatever was asked for.
"""

from __future__ import annotations

import json
import re
from typing import Any

from shared.messages.plain import plain
from shared.messages.records import JsonObject

_EVENT = re.compile(r"^\s*(data|event|id|retry|error|):", re.M)
_COMMENTS = re.compile(r"(\s*:[^\r\n]*[\r\n]+)+")  # that keep a connection open until the answer is there
_LINE_OF_JSON = re.compile(r"\{.*\}\s*[\r\n]")  # a stream of plain lines, without the names of events
_LINE_END = re.compile(r"\r\n|\n|\r")


def assembled(text: str) -> Any:
    """The JSON value of a body; None: it is neither JSON nor a stream of JSON."""
    try:
        return plain(_value(_COMMENTS.sub("", text, count=1) if _COMMENTS.match(text) else text))
    except (ValueError, RecursionError):
        pass
    if not _EVENT.match(text) and not _LINE_OF_JSON.match(text):
        return None
    whole: JsonObject = {}
    event = ""  # the name of the lines that follow
    for line in _LINE_END.split(text):  # not splitlines: a character such as U+2028 may stand in a text
        name, _, data = ("data", "", line) if line.startswith("{") else line.strip().partition(":")
        event = data.strip() if name == "event" else event if name else ""
        if name not in ("data", "error") or data.strip() == "[DONE]":
            continue
        try:
            chunk = _value(data)
        except (ValueError, RecursionError):
            continue  # cut off: what came before it counts
        if isinstance(chunk, dict):
            failed = "error" in (name, event, chunk.get("object"))  # vLLM's own form is an object
            _add(whole, {"error": chunk.get("error", chunk)} if failed else chunk)
    return plain(whole) or None  # now only: a chunk may end within a character


def _value(text: str) -> Any:
    """Of JSON in which line ends and tabs may stand as they are, as some servers write them."""
    return json.loads(text, strict=False)


def _add(whole: JsonObject, chunk: JsonObject) -> None:
    for name, value in chunk.items():
        if name != "choices" and value is not None:
            whole[name] = value
    parts = chunk.get("choices")
    for part in parts if isinstance(parts, list) else ():
        if isinstance(part, dict):
            _add_choice(_choice_of(whole, part), part)


def _choice_of(whole: JsonObject, part: JsonObject) -> JsonObject:
    """The choice that the part continues: more may come than were asked for, in any order."""
    index = str(part.get("index") or 0)
    choices: list[JsonObject] = whole.setdefault("choices", [])
    found = next((choice for choice in choices if choice["index"] == index), None)
    if found is None:
        found = {"index": index, "message": {}}
        choices.append(found)
    return found


def _add_choice(choice: JsonObject, part: JsonObject) -> None:
    delta, whole, so_far = part.get("delta"), part.get("message"), choice["message"]
    if not isinstance(whole, dict):
        delta, whole = delta or whole or part.get("text"), {}
    for name, value in (delta if isinstance(delta, dict) else {"content": delta}).items():
        if isinstance(value, str | list) and name != "role":
            put_together = _called if name == "tool_calls" else _joined
            so_far[name] = put_together(so_far.get(name), value)
    for name, value in whole.items():
        if isinstance(value, str | list) and name != "role":
            so_far[name] = _told(name, so_far.get(name), value, beside=delta is not None)
    for name in ("finish_reason", "error", "usage"):
        if part.get(name) is not None:
            choice[name] = part[name]
    for name in ("token_ids", "free_tokens"):
        if isinstance(part.get(name), list):
            choice[name] = [*choice.get(name, []), *part[name]]
    reported = part.get("logprobs")
    if isinstance(reported, dict) and isinstance(reported.get("content"), list):
        choice.setdefault("logprobs", {"content": []})["content"] += reported["content"]


def _called(before: Any, pieces: str | list[Any]) -> list[JsonObject]:
    """The first call: its arguments come in pieces."""
    arguments: str = before[0]["function"]["arguments"] if before else ""
    for piece in pieces:
        if isinstance(piece, dict) and not piece.get("index"):
            function = piece.get("function")
            more = function.get("arguments") if isinstance(function, dict) else None
            arguments += more if isinstance(more, str) else json.dumps(more) if more else ""
    return [{"function": {"arguments": arguments}}]


def _told(name: str, before: Any, now: str | list[Any], beside: bool) -> Any:
    """A field of a message that tells all that came before it again, as the last piece of some streams does,
    or that is a piece itself. `beside`: a piece stands beside it."""
    again = isinstance(before, str) and isinstance(now, str) and now.strip().startswith(before.strip())
    if again or not before:
        return _called(None, now) if name == "tool_calls" else now
    return before if beside or name == "tool_calls" else _joined(before, now)


def _joined(before: Any, more: str | list[Any]) -> str | list[Any]:
    """Texts are put together to a text; typed parts, also with a text among them, to a list."""
    if isinstance(before or "", str) and isinstance(more, str):
        return (before or "") + more
    return [
        part for piece in (before or [], more) for part in (piece if isinstance(piece, list) else [piece])
    ]

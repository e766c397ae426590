"""The text of a message and the reasoning before it, whatever their form: a string, typed parts, a call's
arguments, a block of thinking. It reads nothing else of a reply.
"""

from __future__ import annotations

import json
import re
from typing import Any

from shared.messages.records import JsonObject

_REASONING_FIELDS = (
    *("reasoning_content", "reasoning", "thinking", "reasoning_text"),
    *("reasoning_details", "thinking_blocks"),  # typed parts
)
_TEXT_FIELDS = ("text", "thinking", "reasoning", "content", "value", "refusal", "summary")  # of a typed part
_TURN = r"(?:<\|start\|>assistant)?"
_MARKS = (  # what models put round a block of reasoning; more than one may precede an answer
    (r"<think>", r"</think>"),
    (r"<thinking>", r"</thinking>"),
    (r"<thought>", r"</thought>"),
    (r"<seed:think>", r"</seed:think>"),
    (r"\[THINK\]", r"\[/THINK\]"),
    (r"◁think▷", r"◁/think▷"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>(?:\s*<\|START_RESPONSE\|>)?"),
    (rf"{_TURN}<\|channel\|>analysis<\|message\|>", r"<\|channel\|>final<\|message\|>"),
    (rf"{_TURN}(?=<\|channel\|>final<\|message\|>)", r"<\|channel\|>final<\|message\|>"),  # none of it
)
_THINK = re.compile(
    r"\s*(?:" + "|".join(f"{opened}(.*?)(?:{closed}|\\Z)" for opened, closed in _MARKS) + ")", re.S | re.I
)
_END_MARKS = re.compile(  # tokens that end a turn, which some servers leave in its text
    r"(\s*(<\|(im_end|eot_id|eom_id|end|return|endoftext|end_of_text)\|>|<end_of_turn>|<eos>))+\s*\Z"
)
_OPENED_BEFORE = re.compile(r"(.*?)</think(?:ing)?>", re.S)  # a chat template opened the block


def text_and_reasoning(message: JsonObject) -> tuple[str, str]:
    """The answer (of a message without one: its refusal, or the arguments of its call) and the reasoning."""
    text, reasoning = _content(message.get("content"))
    fields = [message.get(name) for name in _REASONING_FIELDS]
    given = ("".join(_content(value)) for value in fields if isinstance(value, str | list | dict))
    reasoning = reasoning or next(filter(None, given), "")
    text, inside = _split_thinking(_END_MARKS.sub("", text))
    if not text.strip():
        refusal = message.get("refusal")
        text = (refusal if isinstance(refusal, str) else "") or _called(message) or text
    return text, reasoning or inside


def _called(message: JsonObject) -> str:
    """The arguments of a call in the place of an answer: how some providers keep to a schema."""
    calls = message.get("tool_calls")
    call = calls[0] if isinstance(calls, list) and calls else message
    function = (call.get("function") or call.get("function_call")) if isinstance(call, dict) else None
    arguments = function.get("arguments") if isinstance(function, dict) else None
    return arguments if isinstance(arguments, str) else json.dumps(arguments) if arguments else ""


def _content(content: Any) -> tuple[str, str]:
    """Text and reasoning of a message's content: a string, or typed parts."""
    if isinstance(content, str):
        return content, ""
    if isinstance(content, dict) and any(name in content for name in ("type", *_TEXT_FIELDS)):
        return _content([content])
    if not isinstance(content, list):  # an answer in JSON that the server has read
        return ("" if content is None else json.dumps(content)), ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            kind = str(part.get("type", "text"))
            into = thoughts if "think" in kind or "reason" in kind else texts
            into.append(_text_of(part))
    return "".join(texts), "".join(thoughts)


def _text_of(part: JsonObject) -> str:
    for name in _TEXT_FIELDS:
        value = part.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, dict | list):
            inner, thought = _content(value)
            return inner or thought
    return ""


def _split_thinking(text: str) -> tuple[str, str]:
    """The answer, and the blocks of reasoning before it."""
    blocks = []
    found = _THINK.match(text)
    if not found and "<think" not in text:
        found = _OPENED_BEFORE.match(text)
    while found:
        blocks.append(next(inside for inside in found.groups() if inside is not None).strip())
        text = text[found.end() :].lstrip()
        found = _THINK.match(text)
    return text, "\n".join(filter(None, blocks))

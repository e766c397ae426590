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
_TAGS = (  # what models put round a block of reasoning; more than one may precede an answer
    (r"<think>", r"</think>"),
    (r"<thinking>", r"</thinking>"),
    (r"<thought>", r"</thought>"),
    (r"<seed:think>", r"</seed:think>"),
    (r"\[THINK\]", r"\[/THINK\]"),
    (r"◁think▷", r"◁/think▷"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>(?:\s*<\|START_RESPONSE\|>)?"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>(?:\s*<\|begin_of_solution\|>)?"),
    (r"<unused94>(?:thought\b)?", r"<unused95>"),
    (r"<\|channel>(?:thought\b)?", r"<channel\|>"),
)
_MARKS = (
    *_TAGS,
    (rf"{_TURN}<\|channel\|>analysis<\|message\|>", r"<\|channel\|>final<\|message\|>"),
    (rf"{_TURN}(?=<\|channel\|>final<\|message\|>)", r"<\|channel\|>final<\|message\|>"),  # none of it
)
_THINK = re.compile(
    r"\s*(?:" + "|".join(f"{opened}(.*?)(?:{closed}|\\Z)" for opened, closed in _MARKS) + ")", re.S | re.I
)
_END_MARKS = (  # tokens that end a turn, which some servers leave in its text
    *("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|end|>", "<|return|>", "<|endoftext|>"),
    *("<|end_of_text|>", "<|end_of_solution|>", "<|user|>", "<|END_RESPONSE|>", "<|END_OF_TURN_TOKEN|>"),
    *("<end_of_turn>", "<turn|>", "<eos>", "</s>", "<｜end▁of▁sentence｜>"),
)
_OPENED = re.compile("|".join(opened for opened, _ in _TAGS), re.I)
_OPENED_BEFORE = re.compile(  # a chat template opened the block
    "(.*?)(?:" + "|".join(closed for _, closed in _TAGS) + ")", re.S | re.I
)


def text_and_reasoning(message: JsonObject) -> tuple[str, str]:
    """The answer (of a message without one: its refusal, or the arguments of its call) and the reasoning."""
    text, reasoning = _content(message.get("content"))
    fields = [message.get(name) for name in _REASONING_FIELDS]
    given = ("".join(_content(value)) for value in fields if isinstance(value, str | list | dict))
    reasoning = reasoning or next(filter(None, given), "")
    text, inside = _split_thinking(_without_end_marks(text))
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
            thought = "think" in kind or "reason" in kind or part.get("thought") is True
            into = thoughts if thought else texts
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


def _without_end_marks(text: str) -> str:
    """Not by an expression that looks for them: in a reply of blanks alone it would take for ever."""
    if "<s>" in text:  # its end may be the text's own
        return text
    end, kept = len(text.rstrip()), len(text)
    while mark := next((one for one in _END_MARKS if text.endswith(one, 0, end)), ""):
        end -= len(mark)
        while end and text[end - 1].isspace():
            end -= 1
        kept = end
    return text[:kept]


def _split_thinking(text: str) -> tuple[str, str]:
    """The answer, and the blocks of reasoning before it."""
    blocks = []
    found = _THINK.match(text)
    if not found and not _OPENED.search(text):
        found = _OPENED_BEFORE.match(text)
    while found:
        blocks.append(next(inside for inside in found.groups() if inside is not None).strip())
        text = text[found.end() :].lstrip()
        found = _THINK.match(text)
    return text, "\n".join(filter(None, blocks))

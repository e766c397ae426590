"""Reads an endpoint's answer to a chat request. What was paid for is used whatever its form: content as a
list of parts, an unrequested stream, null where numbers belong, fewer choices than asked for.

Reasoning, in its own field or in a <think> block, is kept apart from the answer. Token ids, free flags and
prompt ids are extensions: where they are missing or inconsistent, their tuples are empty.
"""

from __future__ import annotations

import json
import math
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass
from typing import Any

from shared.messages.records import JsonObject, Sample
from shared.model.replies.content import text_and_reasoning
from shared.model.replies.refusals import Refusal, read_refusal
from shared.model.replies.streams import assembled

MAX_TEXT = 1_000_000  # characters; an endpoint that ignores max_tokens must not fill the store
LONGEST_S = 86_400.0  # a day: what is more is no time that a reply took
MOST_TOKENS = 1_000_000_000  # what is more is no count of one reply's tokens
LARGEST_ID = 2**31 - 1
BROKEN_OFF = frozenset(  # finish reasons of a reply that its server did not finish
    {"error", "abort", "aborted", "cancelled", "canceled", "failed", "interrupted", "timeout"}
    | {"network_error", "server_error", "insufficient_system_resource"}
)
ONLY_REASONING = "reasoning"  # finish_reason of a reply whose tokens all went into reasoning


@dataclass(frozen=True)
class Usage:
    """Tokens as the endpoint reports them; None: it does not. `usd`: the charge that a gateway reports.
    `gpu_s`: what our own server reports."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    usd: float | None = None
    gpu_s: float = 0.0


def parse_completion(body: bytes) -> tuple[Sample, Usage] | Refusal:
    """The one reply in a completion and its usage; a Refusal where there is none (status 0: without a stated
    reason)."""
    text = body.decode("utf-16" if body[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig", "replace")
    reported = _unwrapped(assembled(text))
    if not _is_completion(reported) or _is_error(_error_beside(reported)):  # the stream of it broke off
        return _error_inside(reported, text)
    choices = reported["choices"] or [{"finish_reason": "no_choice"}]
    choice = min(choices, key=_place)
    if not isinstance(choice, dict):
        return read_refusal(0, text)
    finish = _finish(choice)
    if _is_error(choice.get("error")) or finish.lower() in BROKEN_OFF:
        return _error_inside({"error": choice.get("error") or f"a reply that ended by {finish!r}"}, text)
    usage = _usage(reported.get("usage") or choice.get("usage"))
    prompt_ids = _integers(choice.get("prompt_token_ids")) or _integers(reported.get("prompt_token_ids"))
    waited_s = _seconds(reported.get("waited_s"))
    return _sample(choice, prompt_ids, usage).model_copy(update={"waited_s": waited_s}), usage


def _is_completion(reported: Any) -> bool:
    return isinstance(reported, dict) and isinstance(reported.get("choices"), list)


def _unwrapped(reported: Any) -> Any:
    """The one completion in a list, or under a name beside which no error stands."""
    if isinstance(reported, dict) and not _is_completion(reported) and not _is_error(_error_beside(reported)):
        inside = list(reported.values())
    else:
        inside = reported if isinstance(reported, list) else []
    completions = [one for one in inside if _is_completion(one)]
    return completions[0] if len(completions) == 1 else reported


def _place(choice: Any) -> int:
    """Of a choice among those of a request for one reply: the first is meant."""
    return (_count(choice.get("index")) or 0) if isinstance(choice, dict) else 0


def _finish(choice: JsonObject) -> str:
    """Its finish reason; SGLang's own form is an object."""
    reported = choice.get("finish_reason") or ""
    return str(reported.get("type", "") if isinstance(reported, dict) else reported)


def _seconds(reported: Any) -> float:
    """For a reply that the model server had made before; 0 where an endpoint reports none."""
    known = isinstance(reported, int | float) and not isinstance(reported, bool)
    return float(reported) if known and 0 <= reported <= LONGEST_S else 0.0


def _error_beside(reported: JsonObject) -> Any:
    """What stands where an error would; MiniMax has a name of its own for it."""
    return reported.get("error") or reported.get("base_resp")


def _is_error(reported: Any) -> bool:
    """Some gateways put an error beside every reply, with nothing in it or with the code of success."""
    if not isinstance(reported, dict):
        return bool(reported)
    return any(reported.values()) and _count(reported.get("code", reported.get("status_code"))) not in (
        0,
        200,
    )


def _error_inside(reported: Any, text: str) -> Refusal:
    if not isinstance(reported, dict):
        return read_refusal(0, text)
    error = _error_beside(reported) or reported
    codes = [error.get(name) for name in ("code", "status", "status_code")] if isinstance(error, dict) else []
    known = [status for code in codes if 400 <= (status := _count(code) or 0) < 600]
    return read_refusal(known[0] if known else 0, json.dumps({"error": error}))


def _sample(choice: JsonObject, prompt_ids: tuple[int, ...], usage: Usage) -> Sample:
    reported = choice.get("message") or choice.get("delta")
    message: JsonObject = (
        reported if isinstance(reported, dict) else {"content": reported or choice.get("text")}
    )
    text, reasoning = text_and_reasoning(message)
    finish = _finish(choice)
    if (reasoning and not text.strip()) or (not text and finish == "length" and usage.completion_tokens):
        finish = ONLY_REASONING
    if len(text) > MAX_TEXT:
        return Sample(text=text[:MAX_TEXT], finish_reason="too_long")
    plain = Sample(text=text, reasoning=reasoning[:MAX_TEXT], finish_reason=finish)
    return plain.model_copy(update=_tokens(choice, prompt_ids))


def _tokens(choice: JsonObject, prompt_ids: tuple[int, ...]) -> dict[str, tuple[Any, ...]]:
    """Columns of the reply's tokens. Nothing where they don't fit each other: nothing can be learned
    then."""
    ids, free = _integers(choice.get("token_ids")), choice.get("free_tokens")
    flags = tuple(map(bool, free)) if isinstance(free, list) else ()
    logprobs = _logprobs(choice.get("logprobs"))
    reported = [column for column in (ids, logprobs, flags) if column]
    if len({len(column) for column in reported}) > 1 or not all(map(math.isfinite, logprobs or ())):
        return {}
    return {"prompt_ids": prompt_ids, "token_ids": ids, "logprobs": logprobs, "free": flags}


def _logprobs(reported: Any) -> tuple[float, ...]:
    content = reported.get("content") if isinstance(reported, dict) else None
    tokens = content if isinstance(content, list) else []
    values = [token.get("logprob") if isinstance(token, dict) else None for token in tokens]
    if not all(isinstance(value, int | float) for value in values):
        return ()
    try:
        return tuple(float(value) for value in values if value is not None)
    except OverflowError:  # an integer beyond any float
        return ()


def _usage(reported: Any) -> Usage:
    if not isinstance(reported, dict):
        return Usage()
    prompt = _count(reported.get("prompt_tokens") or reported.get("input_tokens")) or None  # 0: no count
    completion = _count(reported.get("completion_tokens") or reported.get("output_tokens")) or None
    total = _count(reported.get("total_tokens")) or 0
    if prompt and total > prompt + (completion or 0):  # with the reasoning, which some count there alone
        completion = total - prompt
    gpu_s = _amount(reported.get("gpu_s")) or 0.0
    return Usage(prompt, completion, _amount(reported.get("cost")), gpu_s)


def _amount(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS
    return float(value) if known else None


def _count(value: Any) -> int | None:
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return count if 0 <= count <= MOST_TOKENS else None


def _integers(value: Any) -> tuple[int, ...]:
    whole = isinstance(value, list) and all(type(item) is int and 0 <= item <= LARGEST_ID for item in value)
    return tuple(value) if whole else ()


def parse_prompt_logprobs(body: bytes, token_ids: list[int]) -> list[float] | None:
    """Log-probabilities of token_ids[1:], from vLLM's form; None where the body does not hold them."""
    try:
        reported = json.loads(body)["choices"][0]["prompt_logprobs"]
        logprobs = [float(reported[i][str(token_ids[i])]["logprob"]) for i in range(1, len(token_ids))]
    except (ValueError, LookupError, TypeError):
        return None
    return logprobs if all(map(math.isfinite, logprobs)) else None


def why_not_loaded(body: str) -> str:
    """The reason why an adapter was not loaded, in an answer of status 200; empty: it was."""
    try:
        reported = json.loads(body)
    except ValueError:  # vLLM's is a sentence
        return ""
    if not isinstance(reported, dict) or reported.get("success") is not False:
        return ""
    return str(reported.get("error_message") or reported.get("message") or body)[:500]

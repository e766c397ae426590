"""Reads an endpoint's refusal: what kind of error it is, and which parameter of the request it names.

Servers report the same in many shapes: {"error": {...}}, {"detail": [...]}, {"message": {"detail": [...]}},
an error object in a reply of status 200, or inside a choice.
"""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from dataclasses import dataclass
from typing import Any

from shared.errors import (
    ChatError,
    ChatUnavailableError,
    EndpointBlockedError,
    ForbiddenError,
    RequestRefusedError,
    UnknownModelError,
)
from shared.messages.plain import plain
from shared.messages.records import JsonObject

SHOWN_CHARS = 500
RETRYABLE = frozenset(
    {408, 409, 424, 425, 429, 498, 499}
)  # and all from 500 up; 424, 498, 499: of some servers
OF_REQUEST = frozenset({408, 424, 500, 502, 504, 524})  # maybe: a prompt that it fails on, a reply too slow
NOT_IMPLEMENTED = 501
_ACCOUNT = re.compile(
    r"insufficient_quota|exceeded[ _](your[ _])?current[ _]quota"
    r"|insufficient (account )?(credit|balance|funds)|account_?overdue|overdue balance|欠费|余额不足"
    r"|credit balance|balance is insufficient|requires more credits|(out of|included|enough) credits"
    r"|(key|billing|spend(ing)?|monthly|api usage)[ _](hard[ _])?limit|billing_not_active|arrearage"
    r"|budget_exceeded|over budget|budget has been exceeded|organization_restricted",
    re.I,
)
_BUSY = re.compile(  # at the beginning of a message or in a code: texts of a prompt may follow
    r"rate[ _-]?limit|too[ _]many[ _](concurrent[ _])?requests|throttl(ed|ing)"
    r"|resource[ _]?exhausted|\boverloaded"
    r"|\bserver (is )?(too )?busy|is (currently |still )?(being loaded|loading)\b|at capacity"
    r"|temporarily unavailable|\bconcurrency limit|\bqps\b|warming up|error code: 1015",
    re.I,
)
_BEGINNING = 120  # characters
_KEY = re.compile(
    r"api[ _-]?key.{0,40}(invalid|not valid|incorrect|missing|expired)"
    r"|(invalid|incorrect|wrong|missing|no) api[ _-]?key",
    re.I,
)
_MODEL = re.compile(
    r"model_not_(found|supported)|no models? (is |are )?loaded|not have access to (the )?model"
    r"|\bmodel not exist|\bmodel\b.{0,80}(does not exist|not found|is not loaded|is not supported by any)"
    r"|(invalid|not a valid|unknown|unsupported|no such) model\b(?! (input|output))|decommissioned"
    r"|not a chat model|\b(lora|adapter)\b.{0,80}(does not exist|not found|not loaded)",
    re.I,
)
_TOO_LARGE = re.compile(r"request too large|must be reduced", re.I)  # for a limit of tokens a minute
_UNKNOWN = re.compile(r"unknown|(un|not )recogni[sz]ed|unexpected|extra|additional propert", re.I)
_UNSUPPORTED = re.compile(
    rf"{_UNKNOWN.pattern}|unsupported|(\bnot|n['’]t) (support|permitted|available|allowed|enabled)"
    r"|not configurable|unavailable|can['’]?t be used|cannot be used|no longer|deprecated",
    re.I,
)
_KNOWN = re.compile(  # begins a list of what it does know: nothing in that is refused
    r"\bexpected (one of|`)|(?<!not )\b(supported|allowed|valid|known|accepted|permitted)"
    r" (fields?|param\w*|arguments?|keys?|names?|properties)\b|\bdid you mean\b",
    re.I,
)
_ONE_VALUE = re.compile(  # it takes no other than one, and not: one within a range
    r"\bonly\b(?!.*(between|range|up to|at most|less|greater|[<>≤≥\[]))"
    r"|must be (set to )?\d+(\.\d+)?(?!\d|\.\d| ?(and|to|or)\b)",
    re.I,
)
_FORMATS = re.compile(r"\bone of\b|json_object", re.I)  # the kinds of response_format that it has instead
_IN_SCHEMA = re.compile(
    r"invalid[ _](json[ _])?schema|in context=|schema.{0,60}(contains|features|keyword|too )", re.I
)
_OTHER_WORDS = {
    "response_format": r"response[ _]format|json_schema|json[ _]mode|structured outputs?"
    r"|guided[ _](json|decoding)"
}
_STREAM = re.compile(  # it gives no reply in one piece
    r"\bnon[- ]?stream|(\bonly\b.{0,20}|must (have|set) .?|requires? .?)stream"
    r"|\bstream(ing)?\b.{0,20}(is required|must be)|\bset .?stream.? (to|=) .?true"
    r"|\bstream(ing)? (mode )?only|enable (the )?stream",
    re.I,
)
_SYSTEM = re.compile(
    r"system (role|message|prompt|instruction)s?.{0,40}(not |un)(supported|enabled|allowed|accepted)"
    r"|(not|n['’]t) support.{0,20}\bsystem\b|developer instruction is not enabled|roles must alternate"
    r"|\b(first message|(start|begin)s? with)\b.{0,30}\buser\b"
    r"|chat template refuses|only user and assistant roles|(unexpected|invalid|unknown|unsupported) role\b"
    r"|\brole\b.{0,20}\bsystem\b|\bsystem\b.{0,40}\brole\b|\broles?\b.{0,20}(one of|should be|must be)",
    re.I,
)
_TIME = r"(\d+(?:\.\d+)?)\s?(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)(?![a-z])"
_LATER = re.compile(
    r"(?:(?:retry|again) (?:in|after)|please wait(?: for)?|retryDelay\W{1,9})\s*"
    rf"(?P<times>(?:{_TIME}[\s,]*(?:and )?)+)",
    re.I,
)
_UNITS_S = {"ms": 0.001, "mil": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}  # how they begin
_MESSAGES = ("message", "detail", "error_message", "msg", "status_msg", "Message")
OURS = ("return_token_ids", "logprobs", "seed", "n")  # always the same: no scaffold chose their values


@dataclass(frozen=True)
class Refusal:
    """The content of an answer that is no reply. `status` 0: it names none."""

    status: int
    message: str
    parameter: str = ""
    code: str = ""
    places: tuple[str, ...] = ()  # fields of the request that a validator names
    retry_after_s: float | None = None

    def parameters(self, sent: JsonObject) -> set[str]:
        """Which of the parameters sent it does not know or support. Not those of the scaffold's choice whose
        value is out of range: that is a mistake of the user or the scaffold."""
        unsupported = bool(self.places or _UNSUPPORTED.search(f"{self.message} {self.code}"))
        found = {name for name in (*self.places, self.parameter.partition(".")[0]) if name in sent}
        refused = _KNOWN.split(self.message, maxsplit=1)[0]
        found = found or {name for name in sent if _mentions(refused, name, unsupported)}
        return {name for name in found if name in OURS or self._knows_not(name, unsupported)}

    def _knows_not(self, name: str, unsupported: bool) -> bool:
        if name == "response_format":
            text = f"{self.message} {self.code}"
            return not _IN_SCHEMA.search(text) and (unsupported or bool(_FORMATS.search(text)))
        return unsupported or (name == "temperature" and bool(_ONE_VALUE.search(self.message)))

    def wants_stream(self, sent: JsonObject) -> bool:
        return not sent.get("stream") and self.status in (400, 422) and bool(_STREAM.search(self.message))

    def of_system(self, sent: JsonObject) -> bool:
        """Whether the conversation's system message may be what it refuses."""
        messages = sent.get("messages")
        return bool(messages and messages[0]["role"] == "system" and _SYSTEM.search(self.message))

    @property
    def is_of_account(self) -> bool:
        return self.status == 402 or bool(_ACCOUNT.search(self._about) and not self._is_over_soon)

    @property
    def is_busy(self) -> bool:
        """Whether it asks for patience, whatever its status: it is of no request, no key and no model."""
        return bool(_BUSY.search(self.message[:_BEGINNING]) or _BUSY.search(self.code))

    @property
    def _about(self) -> str:
        return f"{self.message} {self.code}"

    @property
    def _is_over_soon(self) -> bool:
        """A quota of so many requests a minute is in the words of a spent account, but says when it ends."""
        return self.status == 429 and self.retry_after_s is not None and "insufficient" not in self.code

    @property
    def of_unknown(self) -> bool:
        """Whether it knows no such parameter: not one of its values is at fault."""
        return bool(_UNKNOWN.search(f"{self.message} {self.code}"))


def _mentions(text: str, name: str, anywhere: bool) -> bool:
    """`anywhere`: also a common word where it stands alone, not only in quotes or at the beginning of a
    line."""
    if anywhere or "_" in name or name in ("logprobs", "temperature"):
        return re.search(rf"\b({_OTHER_WORDS.get(name, name)})\b", text, re.I) is not None
    return re.search(rf"[`'\"]{name}[`'\"]|^\s*{name}\s*(:|$)", text, re.M) is not None


def read_refusal(status: int, body: str, retry_after: str | None = None) -> Refusal:
    try:
        reported: Any = plain(json.loads(body))  # a prompt that it quotes may be cut within a character
    except (ValueError, RecursionError):
        reported = None
    if isinstance(reported, list) and reported and isinstance(reported[0], dict):
        reported = reported[0]
    if not isinstance(reported, dict):
        broken = "JSON that is not whole: " if reported is None and re.match(r"\s*[\[{]", body) else ""
        text = _page_title(body) or broken + body.strip()[:SHOWN_CHARS] or "an empty answer"
        return Refusal(status, text, retry_after_s=retry_after_s(retry_after, body))
    error = reported.get("error") or reported
    if not isinstance(error, dict):  # a text, or a mark or name beside it
        told = reported.get("message") or reported.get("detail")
        error = {"message": told, "code": error} if told else {"message": error}
    places = tuple(_places(reported)) if status in (400, 422) else ()
    message = next((told for name in _MESSAGES if (told := error.get(name))), error)
    text = message if isinstance(message, str) else json.dumps(message)
    if error.get("errors") and message is not error:  # what is wrong in particular, as validators list it
        text = f"{text}: {json.dumps(error['errors'])}"
    raw = error.get("metadata", {}).get("raw") if isinstance(error.get("metadata"), dict) else None
    if raw:  # a gateway passes on its provider's message
        text = f"{text}: {raw if isinstance(raw, str) else json.dumps(raw)}"
    return Refusal(
        status,
        text[:SHOWN_CHARS],
        str(error.get("param") or ""),
        str(error.get("code") or error.get("type") or ""),
        places,
        retry_after_s(retry_after, body),
    )


def _places(reported: Any) -> list[str]:
    """Fields in the `loc` of a validator's list that are unknown or ours, wherever that list stands."""
    if isinstance(reported, dict):
        loc, kind = reported.get("loc"), f"{reported.get('type', '')} {reported.get('msg', '')}"
        if isinstance(loc, list) and loc:
            names = [name for name in map(str, loc) if name == "response_format"] or [str(loc[-1])]
            unknown = re.search("extra|unknown|not permitted|literal|enum", kind, re.I)
            return names if unknown or names[0] in OURS else []
        return [name for value in reported.values() for name in _places(value)]
    if isinstance(reported, list):
        return [name for value in reported for name in _places(value)]
    return []


def as_error(url: str, refusal: Refusal) -> ChatError | ChatUnavailableError:
    """The error that a refusal is, with what a user can do about it."""
    status = refusal.status
    problem = f"{url} answers {status or 'with an error'}: {refusal.message}"
    about = f"{refusal.message} {refusal.code}"
    if refusal.is_of_account:
        return EndpointBlockedError(problem, "check the account; what was paid for is kept")
    if refusal.is_busy and status not in (401, 413, 429):  # 413, 429: for a request that is too large
        return _later(problem, refusal)
    if status == 401 or (status in (400, 403) and _KEY.search(about)):
        return EndpointBlockedError(problem, "put a valid key in the variable that api_key_env names")
    if status in (404, 405, NOT_IMPLEMENTED) or (status in (400, 403) and _MODEL.search(about)):
        return UnknownModelError(problem, "GET /v1/models lists what it serves")
    if status in (403, 451):
        return ForbiddenError(problem)
    if status in (400, 413, 422, 431) or (status == 429 and _TOO_LARGE.search(refusal.message)):
        return RequestRefusedError(f"{url} refuses the request ({status}): {refusal.message}")
    if status in RETRYABLE or status >= 500:
        return _later(problem, refusal)
    return EndpointBlockedError(problem, "is that the address of an OpenAI-compatible API?")


def _later(problem: str, refusal: Refusal) -> ChatUnavailableError:
    later = ChatUnavailableError(problem)
    later.retry_after_s = refusal.retry_after_s
    later.of_request = refusal.status in OF_REQUEST and not refusal.is_busy
    return later


def retry_after_s(header: str | None, body: str = "") -> float | None:
    """Seconds: of Retry-After, a number (the first of several), an HTTP date or times with units; else as a
    body words it, such as `try again in 6m0s`."""
    told = _LATER.search(body)
    later = told["times"] if told else ""
    if not header:
        return _times_s(later)
    try:
        seconds = float(header.split(",")[0])
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except ValueError:
        return _times_s(header.split(",")[0]) or _times_s(later)


def _times_s(words: str) -> float | None:
    found = re.findall(_TIME, words, re.I)
    return sum(_in_seconds(*each) for each in found) if found else None


def _in_seconds(number: str, unit: str) -> float:
    begins = max((known for known in _UNITS_S if unit.lower().startswith(known)), key=len)
    return float(number) * _UNITS_S[begins]


def _page_title(body: str) -> str:
    if not re.match(r"\s*(<!--(?:(?!-->).)*-->\s*)*<(!doctype|html)", body, re.I | re.S):
        return ""
    title = re.search(r"<title[^>]*>(.*?)</title>", body, re.I | re.S)
    return f"an HTML page ({title.group(1).strip()[:80]!r})" if title else "an HTML page"

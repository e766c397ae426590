"""Reads an endpoint's refusal: what kind of error it is, and which parameter of the request it names.

Servers report the same in many shapes: {"error": {...}}, {"detail": [...]}, {"message": {"detail": [...]}},
an error object in a reply of status 200, or inside a choice.
"""

from __future__ import annotations

import email.utils
import json
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
from shared.messages.records import JsonObject

SHOWN_CHARS = 500
RETRYABLE = frozenset({408, 409, 425, 429, 498, 499})  # and all from 500 up; 498 and 499: of some proxies
NOT_IMPLEMENTED = 501
_ACCOUNT = re.compile(
    r"insufficient_quota|exceeded your current quota|insufficient (credit|balance|funds)|credit balance"
    r"|requires more credits|(key|billing|spend(ing)?|monthly)[ _](hard[ _])?limit",
    re.I,
)
_KEY = re.compile(
    r"api[ _-]?key.{0,40}(invalid|not valid|incorrect|missing|expired)|invalid api[ _-]?key", re.I
)
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|does(n't| not) support|unknown|unrecogni[sz]ed|unexpected|extra|not permitted"
    r"|not available|unavailable|not allowed|not enabled|can'?t be used|cannot be used|no longer|deprecated",
    re.I,
)
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
        unsupported = self.places or _UNSUPPORTED.search(f"{self.message} {self.code}")
        found = {name for name in (*self.places, self.parameter) if name in sent}
        found = found or {name for name in sent if _mentions(self.message, name)}
        return {name for name in found if unsupported or name in OURS}


def _mentions(text: str, name: str) -> bool:
    if "_" in name or name in ("logprobs", "temperature"):
        return re.search(rf"\b{name}\b", text, re.I) is not None
    quoted = rf"[`'\"]{name}[`'\"]"  # common words count where they are quoted, or begin a line
    return re.search(rf"{quoted}|^\s*{name}\s*(:|$)", text, re.M) is not None


def read_refusal(status: int, body: str, retry_after: str | None = None) -> Refusal:
    try:
        reported: Any = json.loads(body)
    except (ValueError, RecursionError):
        reported = None
    if isinstance(reported, list) and reported and isinstance(reported[0], dict):
        reported = reported[0]
    if not isinstance(reported, dict):
        text = _page_title(body) or body.strip()[:SHOWN_CHARS] or "an empty answer"
        return Refusal(status, text, retry_after_s=retry_after_s(retry_after))
    error = reported.get("error", reported)
    if not isinstance(error, dict):
        error = {"message": error}
    places = tuple(_places(reported)) if status in (400, 422) else ()
    message = error.get("message", error.get("detail", error))
    text = message if isinstance(message, str) else json.dumps(message)
    raw = error.get("metadata", {}).get("raw") if isinstance(error.get("metadata"), dict) else None
    if isinstance(raw, str) and raw:  # a gateway passes on its provider's message
        text = f"{text}: {raw}"
    return Refusal(
        status,
        text[:SHOWN_CHARS],
        str(error.get("param") or ""),
        str(error.get("code") or error.get("type") or ""),
        places,
        retry_after_s(retry_after),
    )


def _places(reported: Any) -> list[str]:
    """Fields in the `loc` of a validator's list that are unknown or ours, wherever that list stands."""
    if isinstance(reported, dict):
        loc, kind = reported.get("loc"), f"{reported.get('type', '')} {reported.get('msg', '')}"
        if isinstance(loc, list) and loc:
            name, unknown = str(loc[-1]), re.search("extra|unknown|not permitted", kind, re.I)
            return [name] if unknown or name in OURS else []
        return [name for value in reported.values() for name in _places(value)]
    if isinstance(reported, list):
        return [name for value in reported for name in _places(value)]
    return []


def as_error(url: str, refusal: Refusal) -> ChatError | ChatUnavailableError:
    """The error that a refusal is, with what a user can do about it."""
    status = refusal.status
    problem = f"{url} answers {status}: {refusal.message}"
    about = f"{refusal.message} {refusal.code}"
    if status == 402 or _ACCOUNT.search(about):
        return EndpointBlockedError(problem, "check the account; what was paid for is kept")
    if status == 401 or (status in (400, 403) and _KEY.search(about)):
        return EndpointBlockedError(problem, "put a valid key in the variable that api_key_env names")
    if status == 403:
        return ForbiddenError(problem)
    if status in RETRYABLE or (status >= 500 and status != NOT_IMPLEMENTED):
        later = ChatUnavailableError(problem)
        later.retry_after_s = refusal.retry_after_s
        later.of_request = status in (500, 502)  # such as a prompt that the server fails on
        return later
    if status in (404, 405, NOT_IMPLEMENTED):
        return UnknownModelError(problem, "GET /v1/models lists what it serves")
    if status in (400, 413, 422, 431):
        return RequestRefusedError(f"{url} refuses the request ({status}): {refusal.message}")
    return EndpointBlockedError(problem, "is that the address of an OpenAI-compatible API?")


def retry_after_s(header: str | None) -> float | None:
    """Retry-After in seconds: a number, or an HTTP date."""
    if not header:
        return None
    try:
        return max(float(header), 0.0)
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except ValueError:
        return None


def _page_title(body: str) -> str:
    if not re.match(r"\s*(<!--.*?-->\s*)*<(!doctype|html)", body, re.I | re.S):
        return ""
    title = re.search(r"<title[^>]*>(.*?)</title>", body, re.I | re.S)
    return f"an HTML page ({title.group(1).strip()[:80]!r})" if title else "an HTML page"

"""One reply from an endpoint, or why there is none: quick retries, options learned from refusals, and whether
an error is the request's or the endpoint's. Stores and counts nothing.
"""

from __future__ import annotations

import logging
import math
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from shared.errors import (
    ChatError,
    ChatUnavailableError,
    EndpointBlockedError,
    ForbiddenError,
    RequestRefusedError,
    UnknownModelError,
    UnusableReplyError,
)
from shared.messages.records import JsonObject, Sample
from shared.model.options import Options, learned
from shared.model.replies.reading import Usage, parse_completion
from shared.model.replies.refusals import Refusal, as_error
from shared.model.server import RefusedError, Server
from shared.model.wire import SampleRequest

log = logging.getLogger(__name__)

TRIES = 4
SAME_ERRORS = 3  # of one request, after which a plain request tests the endpoint
FIRST_WAIT_S = 0.25  # doubles with each try; drawn evenly below it, so that workers don't march in step
LONGEST_WAIT_S = 10.0  # asked for by the endpoint; a longer wait is left to the bus
CONTROL_S = (
    30.0  # how long one answered plain request proves that the endpoint works, for errors in like words
)
LIKE_CHARS = 160  # of an error's words, without numbers
CONTROL_TOKENS = 256  # at most: a limit above what the endpoint takes is a harness's fault
CONTROL = [{"role": "user", "content": "Say OK."}]
PLAIN_SCHEMA: JsonObject = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
T = TypeVar("T")


def patiently(call: Callable[[], T]) -> T:
    """The call's result, tried a few times while the endpoint is briefly unreachable or busy."""
    for tries in range(1, TRIES):
        try:
            return call()
        except ChatUnavailableError as error:
            wait_s = max(random.uniform(0, FIRST_WAIT_S * 2**tries), error.retry_after_s or 0.0)
            if wait_s > LONGEST_WAIT_S:
                raise
            log.info("try %d of %d failed: %s", tries, TRIES, error.message)
        time.sleep(wait_s)
    return call()


class Answering:
    """The servers of one endpoint and how they want to be asked."""

    def __init__(self, servers: Sequence[Server], options: Options, timeout_s: float) -> None:
        self.options = options
        self._servers = servers
        self._timeout_s = timeout_s
        self._failed: Counter[str] = Counter()  # by request; words of an error may differ: ids, times, sizes
        self._lock = threading.Lock()
        self._vouched_until_s: dict[str, float] = {}  # by an error's words

    def answer(
        self, request: SampleRequest, index: int, key: str, until_s: float = math.inf
    ) -> tuple[Sample, Usage]:
        """One reply, with quick retries until `until_s` (monotonic). `key` names it. Raises
        RequestRefusedError where this request is at fault."""
        tries = unknown = 0
        while True:
            tries += 1
            server = min(self._servers, key=lambda one: (one.open_requests, random.random()))
            try:
                return self.try_once(server, request, index, key)
            except (ForbiddenError, RequestRefusedError) as error:
                self._require_fault(request, str(error))
                raise RequestRefusedError(error.message) from error
            except UnknownModelError as error:
                unknown += 1
                self._require_served(request, error, unknown)
                if unknown == SAME_ERRORS:
                    raise RequestRefusedError(error.message) from error
                continue
            except ChatUnavailableError as error:
                self._judge(request, key, error)
                wait_s = max(random.uniform(0, FIRST_WAIT_S * 2**tries), error.retry_after_s or 0.0)
                if tries == TRIES or wait_s > LONGEST_WAIT_S or time.monotonic() > until_s:
                    raise
                log.info("try %d of %d failed: %s", tries, TRIES, error.message)
            time.sleep(wait_s)

    def try_once(
        self, server: Server, request: SampleRequest, index: int, key: str = ""
    ) -> tuple[Sample, Usage]:
        """One reply. A refusal that names a parameter is learned from, if the request is taken without
        it."""
        options, tried = self.options, list[Options]()
        while True:
            tried.append(options)
            body = request.body(index, options)
            parsed = _answered(server, body, key, self._timeout_s)
            if not isinstance(parsed, Refusal):
                if options != self.options:
                    self._learn(server, options)
                return parsed
            other = options.after(parsed, body)
            if other is None or other in tried:  # such as both names of max_tokens
                raise _error_of(server, parsed)
            self._require_general(server, request, options, other, parsed)
            options = other

    def _learn(self, server: Server, options: Options) -> None:
        with self._lock:
            if change := learned(self.options, options):
                log.info("%s %s", server.url, change)
            self.options = options

    def _require_general(
        self, server: Server, request: SampleRequest, before: Options, after: Options, refusal: Refusal
    ) -> None:
        """Raises the refusal where it is of this request's schema alone: schemas of other requests, which may
        be another arm's, are sent on."""
        if "response_format" not in after.omit - before.omit or request.schema == PLAIN_SCHEMA:
            return
        control = replace(request, messages=CONTROL, schema=PLAIN_SCHEMA)
        if not isinstance(_answered(server, control.body(0, before), "", self._timeout_s), Refusal):
            raise _error_of(server, refusal)

    def _require_served(self, request: SampleRequest, unknown: UnknownModelError, times: int) -> None:
        """Raises the error unless plain requests for the same model are answered. More of them each time: of
        servers behind one address that take turns, one may have lost the model."""
        for _ in range(times):
            try:
                self._ask_plainly(request)
            except (ChatError, ChatUnavailableError):
                raise unknown from None

    def _judge(self, request: SampleRequest, key: str, error: ChatUnavailableError) -> None:
        """Raises RequestRefusedError once such errors have met this request too often, and it alone."""
        if not error.of_request:
            return
        with self._lock:
            self._failed[key] += 1
            count = self._failed[key]
        if count >= SAME_ERRORS:
            self._require_fault(request, str(error), outage=not isinstance(error, UnusableReplyError))
            raise RequestRefusedError(
                f"{error.message} ({count} times, while other requests are answered)"
            ) from error

    def _require_fault(self, request: SampleRequest, problem: str, outage: bool = False) -> None:
        """Raises unless a plain request for the same model is answered: the endpoint itself is at fault, or
        busy, and what it says of this request is to be asked again."""
        words = re.sub(r"\d+", "", problem)[:LIKE_CHARS]
        with self._lock:
            if time.monotonic() < self._vouched_until_s.get(words, 0.0):
                return
        try:
            self._ask_plainly(request)
        except (ChatUnavailableError, RequestRefusedError, ForbiddenError) as error:
            busy = isinstance(error, ChatUnavailableError) and not isinstance(error, UnusableReplyError)
            if outage or busy:
                later = ChatUnavailableError(problem)
                later.retry_after_s = error.retry_after_s
                raise later from error
            plainly = "" if error.message in problem else f": {error.message}"
            raise EndpointBlockedError(f"{problem}; a plain request fails too{plainly}") from error
        with self._lock:
            self._vouched_until_s[words] = time.monotonic() + CONTROL_S

    def _ask_plainly(self, request: SampleRequest) -> None:
        """For the same model, with nothing that a harness chose. Raises what is then wrong."""
        max_tokens = min(request.max_tokens, CONTROL_TOKENS)
        control = SampleRequest(request.model, CONTROL, seed=0, max_tokens=max_tokens)
        self.try_once(random.choice(self._servers), control, 0)


def _answered(server: Server, body: JsonObject, key: str, timeout_s: float) -> tuple[Sample, Usage] | Refusal:
    """A refusal counts the same by its status and within an answer of status 200."""
    try:
        return parse_completion(server.complete(body, key, timeout_s))
    except RefusedError as refused:
        return refused.refusal


def _error_of(server: Server, refusal: Refusal) -> ChatError | ChatUnavailableError:
    if refusal.status or refusal.is_of_account or refusal.is_busy:
        return as_error(server.url, refusal)
    return UnusableReplyError(f"{server.url} answered with no completion: {refusal.message[:200]}")

"""The model's endpoint as the loop uses it: replies by request, each asked for and paid for once.

Every reply is stored under (endpoint, options, request, index) before it is used, and looked up there
first. One layer of retries, ours (answering.py); an outage is left to the bus. What fails
three times alike while other requests are answered is final for that one request.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

from shared.errors import (
    BudgetSpentError,
    ChatError,
    ChatUnavailableError,
    JobHandedBackError,
    RequestRefusedError,
)
from shared.messages.records import Cost, Sample, StoredReply
from shared.model.address import split_urls
from shared.model.answering import Answering
from shared.model.options import Options
from shared.model.prices import Price, cost_of, most_of
from shared.model.recorded import keep_failure
from shared.model.server import Server
from shared.model.spending import Spending
from shared.model.wire import SampleRequest
from shared.store.store import Store, get_record, put_json

Answer = Sample | RequestRefusedError


@dataclass(frozen=True)
class Reply:
    """What one request gave: its samples, or why the endpoint would not take it."""

    samples: tuple[Sample, ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class Sampled:
    """Replies in the order of the requests. `cost` is what was paid now: stored replies cost nothing."""

    replies: tuple[Reply, ...]
    cost: Cost


class Chat:
    """One endpoint, at one or several addresses. Raises ChatUnavailableError when it can't answer now,
    EndpointBlockedError when it answers no request, ChatError when it refuses."""

    def __init__(
        self,
        url: str,
        store: Store,
        *,
        api_key: str,
        timeout_s: float,
        concurrency: int,
        options: Options | None = None,
        headers: Mapping[str, str] | None = None,
        identity: str = "",
        price: Price | None = None,
    ) -> None:
        self.url = url
        self.store = store
        self.timeout_s = timeout_s
        self.concurrency = concurrency
        options = options or Options()
        self.price = price or Price()
        self.servers = [Server(one, api_key=api_key, headers=headers) for one in split_urls(url)]
        self.answering = Answering(self.servers, options, timeout_s)
        self._asked_of = f"{identity} {options.key}".strip()

    def close(self) -> None:
        for server in self.servers:
            server.close()

    def sample(self, requests: Sequence[SampleRequest]) -> Sampled:
        """All replies of all requests, asked at once."""
        with self.asking() as asking:
            asked = [asking.ask(request) for request in requests]
            replies = tuple(gathered(futures) for futures in asked)
        return Sampled(replies, asking.cost)

    def asking(
        self,
        payer: str = "",
        spending: Spending | None = None,
        until_s: float = math.inf,
        keeps_failures: bool = False,
    ) -> Asking:
        """A conversation of many requests, each answered when it is. `payer`: the job that pays; what it
        paid for in a try that failed counts in the one that succeeds. `until_s`: on the monotonic clock,
        after which nothing is asked any more. `keeps_failures`: the reason why a request has no reply is
        stored as well."""
        return Asking(self, payer, spending, until_s, keeps_failures)

    def key(self, request: SampleRequest, index: int) -> str:
        return request.key(index, self._asked_of)


class Asking:
    """Context manager. `ask` starts a request's replies, each in a thread of at most `concurrency`; equal
    requests are one. An error that concerns all stops what has not begun. `cost`: paid so far."""

    def __init__(
        self, chat: Chat, payer: str, spending: Spending | None, until_s: float, keeps_failures: bool
    ) -> None:
        self._chat = chat
        self._keeps_failures = keeps_failures
        self._until_s = until_s
        self._payer = payer
        self._spending = spending
        self._threads = ThreadPoolExecutor(chat.concurrency, "reply")
        self._asked: dict[str, Future[Answer]] = {}
        self._lock = threading.Lock()
        self._waiting_since_s = time.monotonic()
        self.cost = Cost()

    def ask(self, request: SampleRequest) -> list[Future[Answer]]:
        """One future a reply. Its error is what concerns all; a refusal of this one request is its
        result."""
        return [self._ask_one(request, index) for index in range(request.n)]

    def again(self, request: SampleRequest) -> list[Future[Answer]]:
        """As `ask`, but what failed before is asked anew."""
        for index in range(request.n):
            future = self._asked.get(self._chat.key(request, index))
            if future is not None and future.done() and future.exception() is not None:
                del self._asked[self._chat.key(request, index)]
        return self.ask(request)

    def _ask_one(self, request: SampleRequest, index: int) -> Future[Answer]:
        key = self._chat.key(request, index)
        if key not in self._asked:
            self._asked[key] = self._threads.submit(self._fetch, request, index, key)
        return self._asked[key]

    def _fetch(self, request: SampleRequest, index: int, key: str) -> Answer:
        store = self._chat.store
        if digest := store.lookup("reply", key):
            kept = get_record(store, digest, StoredReply)
            if self._payer and kept.payer == self._payer:  # a try of this very job that was not committed
                self._pay(kept.cost)
                if self._spending:
                    self._spending.paid_before(kept.cost)
            return kept.sample
        if time.monotonic() > self._until_s:
            raise JobHandedBackError("the model is slow: what is there is kept, the rest is asked for again")
        most = most_of(request, self._chat.price)
        self._reserve(most, key)
        cost, started_s = Cost(), time.monotonic()
        try:
            sample, usage = self._chat.answering.answer(request, index, key, self._until_s)
            cost = cost_of(request, sample, usage, self._chat.price)
        except (ChatError, ChatUnavailableError) as error:
            if self._keeps_failures:
                keep_failure(store, key, error)
            if isinstance(error, RequestRefusedError):
                return error
            raise
        finally:
            if self._spending:
                self._spending.settle(most, cost)
        waited_s = max(sample.waited_s, time.monotonic() - started_s)
        sample = sample.model_copy(update={"waited_s": waited_s})  # kept with it: found again, no faster
        reply = StoredReply(sample=sample, cost=cost, payer=self._payer)
        self._pay(cost, started_s)
        digest = store.bind("reply", key, put_json(store, reply))
        return get_record(store, digest, StoredReply).sample  # another worker may have been first

    def _reserve(self, most: Cost, key: str) -> None:
        if self._spending is None:
            return
        try:
            self._spending.reserve(most)
        except BudgetSpentError as error:
            if self._keeps_failures:
                keep_failure(self._chat.store, key, error)
            raise

    def _pay(self, cost: Cost, started_s: float | None = None) -> None:
        """Count it. Seconds are of the clock: replies that were waited for together count once."""
        with self._lock:
            now_s = time.monotonic()
            if started_s is not None:
                cost += Cost(model_s=now_s - max(started_s, self._waiting_since_s))
                self._waiting_since_s = now_s
            self.cost += cost

    def call_off(self) -> None:
        """Start nothing more; what is under way is finished and kept."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Asking:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call_off()


def gathered(futures: Sequence[Future[Answer]]) -> Reply:
    """The reply of one request, when it is there. Raises what concerns all."""
    answers = [future.result() for future in futures]
    refused = [str(answer) for answer in answers if isinstance(answer, RequestRefusedError)]
    if refused:
        return Reply(refused=refused[0])
    return Reply(tuple(answer for answer in answers if isinstance(answer, Sample)))

"""The model's endpoint: OpenAI's API plus vLLM's routes for LoRA. The only importer of openai.

Every reply is stored under (its request, its index) before it is used and looked up there first, so none is
paid for twice. One layer of retries, ours: a few quick ones here; what is still unavailable then is the bus's
to try again later. A refusal (400, 401, 403, 404) is never tried again.
"""

from __future__ import annotations

import email.utils
import json
import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar, cast
from urllib.parse import urlsplit

import httpx2  # what openai is built on; its errors come through while a body is read
import openai
from openai.types.chat import ChatCompletionMessageParam

from shared.errors import (
    AdaptersUnsupportedError,
    ArtifactError,
    ChatError,
    ChatUnavailableError,
    RequestRefusedError,
    UnknownModelError,
)
from shared.messages.records import Cost, JsonObject, Sample
from shared.model.wire import SampleRequest, parse_completion, parse_prompt_logprobs
from shared.store.store import Store, get_record, put_json

log = logging.getLogger(__name__)
T = TypeVar("T")

TRIES = 4
FIRST_WAIT_S = (
    0.25  # doubles with each try; the wait is drawn evenly below it, so that workers don't march in step
)
RETRYABLE = frozenset({408, 409, 425, 429})  # and all from 500 up
NOT_IMPLEMENTED = 501
MAX_BODY_BYTES = 64 << 20  # a reply with its logprobs; more is no reply


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
    """One endpoint. Raises ChatUnavailableError when it can't answer now, ChatError when it will not."""

    def __init__(self, url: str, store: Store, *, api_key: str, timeout_s: float, concurrency: int) -> None:
        self.url = url
        self._store = store
        self._timeout_s = timeout_s
        self._concurrency = concurrency
        self._extensions = True  # until the endpoint refuses them
        local = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
        http = openai.DefaultHttpxClient(trust_env=not local)  # a proxy never leads to this machine
        self._client = openai.OpenAI(base_url=url, api_key=api_key, max_retries=0, http_client=http)

    def close(self) -> None:
        self._client.close()

    def sample(self, requests: Sequence[SampleRequest]) -> Sampled:
        """All replies of all requests, asked at once. Raises RequestRefusedError only if all are refused."""
        started = time.monotonic()
        wanted = {request.key(i): (request, i) for request in requests for i in range(request.n)}
        found = {key: self._stored(key) for key in wanted}
        missing = [key for key, sample in found.items() if sample is None]
        cost, refused = Cost(), dict[str, RequestRefusedError]()
        for key, outcome in zip(missing, self._ask_all([wanted[key] for key in missing]), strict=True):
            if isinstance(outcome, RequestRefusedError):
                refused[key] = outcome
            else:
                found[key], paid = outcome
                cost += paid
        if refused and len(refused) == len(wanted):
            raise next(iter(refused.values()))
        waited_s = time.monotonic() - started if missing else 0.0
        replies = tuple(_reply(request, found, refused) for request in requests)
        return Sampled(replies, cost + Cost(model_s=waited_s))

    def load_adapter(self, name: str, path: str) -> None:
        """Raises ArtifactError for an adapter that is not taken, AdaptersUnsupportedError if none ever is."""
        body = {"lora_name": name, "lora_path": path}
        try:
            self._retry(lambda timeout_s: self._post("/load_lora_adapter", body, timeout_s))
        except RequestRefusedError as error:
            raise ArtifactError(f"{self.url} refuses adapter {name}: {error.message}") from error
        except UnknownModelError as error:
            said = error.message.replace("load_lora_adapter", "")  # some 404s repeat the route
            if "adapter" in said:  # vLLM's 404 for a folder that it can't see
                raise ArtifactError(
                    f"{self.url} can't see adapter {name} in {path}: {error.message}"
                ) from error
            hint = "run with --levers harness, or serve with vLLM and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
            raise AdaptersUnsupportedError(f"{self.url} can't load adapters", hint) from error

    def loads_adapters(self) -> bool:
        """Does it take adapters at all? Asked with one that is nowhere, so whoever takes it loads nothing."""
        try:
            self.load_adapter("ratchet-probe", "/nonexistent/ratchet-probe")
        except ArtifactError:
            return True
        except AdaptersUnsupportedError:
            return False
        return False

    def unload_adapter(self, name: str) -> None:
        """Also when it is not loaded any more."""
        body = {"lora_name": name}
        try:
            self._retry(lambda timeout_s: self._post("/unload_lora_adapter", body, timeout_s))
        except (RequestRefusedError, UnknownModelError) as error:
            log.info("adapter %s was not loaded: %s", name, error.message)

    def models(self) -> list[str]:
        """Names of the base model and of every adapter that is loaded."""
        text = self._retry(
            lambda timeout_s: self._client.get("/models", cast_to=str, options={"timeout": timeout_s})
        )
        try:
            return [str(model["id"]) for model in json.loads(text)["data"]]
        except (ValueError, LookupError, TypeError) as error:
            raise ChatError(f"{self.url}/models lists no models: {text[:200]!r}") from error

    def prompt_logprobs(self, model: str, token_ids: list[int]) -> list[float]:
        """Log-probabilities of token_ids[1:] under that model."""
        body = {
            "model": model,
            "prompt": token_ids,
            "max_tokens": 1,
            "temperature": 0.0,
            "prompt_logprobs": 0,
        }
        text = self._retry(lambda timeout_s: self._post("/completions", body, timeout_s))
        logprobs = parse_prompt_logprobs(text.encode(), token_ids)
        if logprobs is None:
            hint = "adapters are verified by prompt_logprobs on /v1/completions, as vLLM gives them"
            raise ChatError(f"{self.url} gives no prompt_logprobs for {model}", hint)
        return logprobs

    def _stored(self, key: str) -> Sample | None:
        digest = self._store.lookup("reply", key)
        return get_record(self._store, digest, Sample) if digest else None

    def _ask_all(
        self, wanted: list[tuple[SampleRequest, int]]
    ) -> list[tuple[Sample, Cost] | RequestRefusedError]:
        """In the order given. An error that concerns all stops what has not begun; what runs is stored."""
        if not wanted:
            return []
        with ThreadPoolExecutor(min(self._concurrency, len(wanted))) as threads:
            futures = [threads.submit(self._ask_and_store, request, index) for request, index in wanted]
            try:
                return [_result_or_refusal(future) for future in futures]
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                raise

    def _ask_and_store(self, request: SampleRequest, index: int) -> tuple[Sample, Cost]:
        sample, cost = self._retry(lambda timeout_s: self._ask(request, index, timeout_s))
        digest = self._store.bind("reply", request.key(index), put_json(self._store, sample))
        return get_record(
            self._store, digest, Sample
        ), cost  # another worker may have been first: its reply counts

    def _ask(self, request: SampleRequest, index: int, timeout_s: float) -> tuple[Sample, Cost]:
        extensions = self._extensions
        try:
            body = self._complete(request, index, extensions, timeout_s)
        except openai.BadRequestError as error:
            if not (extensions and "return_token_ids" in str(error)):
                raise
            log.warning("%s tells no token ids: nothing can be learned from its replies", self.url)
            self._extensions = False
            body = self._complete(request, index, False, timeout_s)
        parsed = parse_completion(body)
        if parsed is None:
            raise ChatUnavailableError(f"{self.url} answered with no completion: {body[:200]!r}")
        return parsed

    def _complete(self, request: SampleRequest, index: int, extensions: bool, timeout_s: float) -> bytes:
        """The body of the answer, read against the clock: a trickle must not outlast the deadline. The key
        goes along, so that an endpoint can tell a second request for the same reply."""
        deadline = time.monotonic() + timeout_s
        messages = cast(list[ChatCompletionMessageParam], request.messages)
        create = self._client.chat.completions.with_streaming_response.create
        received = bytearray()
        with create(
            model=request.model,
            messages=messages,
            extra_body=request.body(index, extensions),
            extra_headers={"Idempotency-Key": request.key(index)},
            timeout=timeout_s,
        ) as response:
            for chunk in response.iter_bytes():
                received += chunk
                if time.monotonic() > deadline:
                    raise ChatUnavailableError(
                        f"{self.url} did not finish its answer within {timeout_s:.0f} s"
                    )
                if len(received) > MAX_BODY_BYTES:
                    raise ChatError(f"{self.url} answered with more than {MAX_BODY_BYTES >> 20} MB")
        return bytes(received)

    def _post(self, path: str, body: JsonObject, timeout_s: float) -> str:
        return self._client.post(path, cast_to=str, body=body, options={"timeout": timeout_s})

    def _retry(self, call: Callable[[float], T]) -> T:
        """The one layer of retries: TRIES within the total time, each wait fully jittered."""
        deadline = time.monotonic() + self._timeout_s
        tries = 0
        while True:
            tries += 1
            try:
                return call(max(deadline - time.monotonic(), 0.1))
            except (openai.APIError, httpx2.HTTPError, ChatUnavailableError) as error:
                unavailable = self._unavailable(error)
            wait_s = random.uniform(0, FIRST_WAIT_S * 2**tries)
            wait_s = max(wait_s, unavailable.retry_after_s or 0.0)
            if tries == TRIES or time.monotonic() + wait_s > deadline:
                raise unavailable
            log.info("try %d of %d failed: %s", tries, TRIES, unavailable.message)
            time.sleep(wait_s)

    def _unavailable(self, error: Exception) -> ChatUnavailableError:
        """What may be tried again as ChatUnavailableError; raises what may not as ChatError."""
        if isinstance(error, ChatUnavailableError):
            return error
        if not isinstance(error, openai.APIStatusError):
            hint = "is it running? the job is tried again"
            return ChatUnavailableError(f"{self.url} can't be reached: {error or type(error).__name__}", hint)
        status, said = error.status_code, error.message[:500]
        if status in RETRYABLE or (status >= 500 and status != NOT_IMPLEMENTED):
            later = ChatUnavailableError(f"{self.url} answers {status}: {said}")
            later.retry_after_s = _retry_after_s(error.response.headers.get("retry-after"))
            return later
        if status in (404, 405, NOT_IMPLEMENTED):
            raise UnknownModelError(
                f"{self.url} answers {status}: {said}", "GET /v1/models lists what it serves"
            )
        if status in (400, 413, 422):
            raise RequestRefusedError(f"{self.url} refuses the request ({status}): {said}")
        raise ChatError(f"{self.url} answers {status}: {said}", "set the key that model.api_key_env names")


def _result_or_refusal(future: Future[tuple[Sample, Cost]]) -> tuple[Sample, Cost] | RequestRefusedError:
    try:
        return future.result()
    except RequestRefusedError as error:
        return error


def _reply(
    request: SampleRequest, found: dict[str, Sample | None], refused: dict[str, RequestRefusedError]
) -> Reply:
    keys = [request.key(i) for i in range(request.n)]
    for key in keys:
        if key in refused:
            return Reply(refused=str(refused[key]))
    return Reply(tuple(sample for key in keys if (sample := found[key]) is not None))


def _retry_after_s(header: str | None) -> float | None:
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

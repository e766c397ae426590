"""One address of an endpoint: OpenAI's API plus vLLM's routes for LoRA. The only importer of openai.

Every error comes out as one of ours, judged by refusals.py; nothing is tried again here.
"""

from __future__ import annotations

import functools
import json
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import cast
from urllib.parse import urlsplit

import httpx2  # what openai is built on; its errors come through while a body is read
import openai
from openai.types.chat import ChatCompletionMessageParam

from shared.errors import (
    AdaptersUnsupportedError,
    ArtifactError,
    ChatError,
    ChatUnavailableError,
    EndpointBlockedError,
    ForbiddenError,
    RequestRefusedError,
    SlowReplyError,
    UnknownModelError,
    UnreachableError,
)
from shared.messages.records import JsonObject
from shared.model import sglang
from shared.model.address import query_of
from shared.model.replies.error_bodies import prepare
from shared.model.replies.reading import parse_prompt_logprobs, why_not_loaded
from shared.model.replies.refusals import Refusal, as_error, read_refusal

MAX_BODY_BYTES = 64 << 20  # a reply with its logprobs; more is no reply
LOAD_TIMEOUT_S = 120.0
NOWHERE = (httpx2.TooManyRedirects, httpx2.UnsupportedProtocol)  # what no later try removes


class RefusedError(Exception):
    """An answer with an error status, before it is judged."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class Server:
    """`open_requests`: how many replies are under way here."""

    def __init__(self, url: str, *, api_key: str, headers: Mapping[str, str] | None = None) -> None:
        self.url = url
        self.open_requests = 0
        self._base_url, query = query_of(url)
        self._sglang_base = ""  # of an SGLang server, once its models are listed: that of its adapters
        self._adapters: set[str] = set()  # names that were listed or loaded as an adapter's
        local = urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "::")
        http = openai.DefaultHttpxClient(
            trust_env=not local,  # a proxy never leads to this machine
            verify=_trusted(),
            event_hooks={"response": [prepare]},
        )
        self._lock = threading.Lock()
        self._client = openai.OpenAI(
            base_url=self._base_url,
            api_key=api_key,
            max_retries=0,
            http_client=http,
            default_headers=headers,
            default_query=query,
        )

    def close(self) -> None:
        self._client.close()

    def complete(self, body: JsonObject, key: str, timeout_s: float) -> bytes:
        """The body of the answer, read against the clock: a trickle must not outlast it. The key goes along,
        so that an endpoint can tell a second request for the same reply. Leaving the connection asks it to
        stop. Raises RefusedError, ChatUnavailableError."""
        with self._lock:
            self.open_requests += 1
        try:
            return self._read(body, key, timeout_s)
        except openai.APIStatusError as error:
            raise RefusedError(_refusal(error)) from error
        except (openai.APITimeoutError, httpx2.TimeoutException) as error:
            raise _slow(self.url, timeout_s) from error
        except (openai.APIError, httpx2.HTTPError) as error:
            raise _unreachable(self.url, error) from error
        finally:
            with self._lock:
                self.open_requests -= 1

    def _read(self, body: JsonObject, key: str, timeout_s: float) -> bytes:
        deadline = time.monotonic() + timeout_s
        create = self._client.chat.completions.with_streaming_response.create
        received = bytearray()
        with create(
            model=self._named(body["model"]),
            messages=cast(list[ChatCompletionMessageParam], body["messages"]),
            extra_body={name: value for name, value in body.items() if name not in ("model", "messages")},
            extra_headers={"Idempotency-Key": key} if key else {},
            timeout=timeout_s,
        ) as response:
            for chunk in response.iter_bytes():
                received += chunk
                if time.monotonic() > deadline:
                    raise _slow(self.url, timeout_s)
                if len(received) > MAX_BODY_BYTES:
                    raise RequestRefusedError(f"{self.url} answered with more than {MAX_BODY_BYTES >> 20} MB")
        return bytes(received)

    def models(self) -> list[str]:
        """Names of the base model and of every adapter that is loaded."""
        text = self._ask("GET", "/models", None, LOAD_TIMEOUT_S)
        try:
            listed = json.loads(text)
            cards = (listed if isinstance(listed, list) else listed["data"]) or []  # some give the bare list
            names = [str(card["id"]) for card in cards]
        except (ValueError, LookupError, TypeError) as error:
            raise ChatError(f"{self.url}/models lists no models: {text[:200]!r}") from error
        self._sglang_base = sglang.base_of(cards)
        self._adapters |= {str(card["id"]) for card in cards if card.get("parent")}
        return names

    def load_adapter(self, name: str, path: str) -> None:
        """Raises ArtifactError for an adapter that is not taken, AdaptersUnsupportedError if none ever
        is."""
        self._adapters.add(name)
        body: JsonObject = {"lora_name": name, "lora_path": path}
        try:
            answer = self._ask("POST", self._lora_route("/load_lora_adapter"), body, LOAD_TIMEOUT_S)
            if why := why_not_loaded(answer):
                raise ArtifactError(f"{self.url} refuses adapter {name}: {why}")
        except RequestRefusedError as error:
            if "not enabled" in error.message:  # without --enable-lora
                raise _unsupported(self.url, error) from error
            if "already" not in error.message:  # vLLM's 400 for one that it has
                raise ArtifactError(f"{self.url} refuses adapter {name}: {error.message}") from error
        except UnknownModelError as error:
            reason = error.message.replace("load_lora_adapter", "")  # some 404s repeat the route
            if "adapter" in reason:  # vLLM's 404 for a folder that it can't see
                raise ArtifactError(
                    f"{self.url} can't see adapter {name} in {path}: {error.message}"
                ) from error
            raise _unsupported(self.url, error) from error
        except (ForbiddenError, EndpointBlockedError) as error:  # a gateway that keeps the route to itself
            raise _unsupported(self.url, error) from error

    def unload_adapter(self, name: str) -> bool:
        """False: it was not loaded any more, or none may be unloaded."""
        try:
            route = self._lora_route("/unload_lora_adapter")
            self._ask("POST", route, {"lora_name": name}, LOAD_TIMEOUT_S)
        except (RequestRefusedError, UnknownModelError, ForbiddenError, EndpointBlockedError):
            return False
        return True

    def prompt_logprobs(self, model: str, token_ids: list[int], timeout_s: float) -> list[float]:
        """Log-probabilities of token_ids[1:] under that model."""
        if self._sglang_base:
            own = sglang.generate_body(token_ids, model if model in self._adapters else None)
            text = self._ask("POST", sglang.beside(self._base_url, "/generate"), own, timeout_s)
            logprobs = sglang.parse_generated(text.encode(), token_ids)
        else:
            body: JsonObject = {"model": model, "prompt": token_ids, "max_tokens": 1, "temperature": 0.0}
            text = self._ask("POST", "/completions", body | {"prompt_logprobs": 0}, timeout_s)
            logprobs = parse_prompt_logprobs(text.encode(), token_ids)
        if logprobs is None:
            hint = "adapters are verified by prompt_logprobs on /v1/completions, as vLLM gives them, or by"
            hint += " input_token_logprobs of SGLang's /generate"
            raise ChatError(f"{self.url} gives no prompt_logprobs for {model}", hint)
        return logprobs

    def _lora_route(self, route: str) -> str:
        return sglang.beside(self._base_url, route) if self._sglang_base else route

    def _named(self, model: str) -> str:
        """The name by which the server knows a model."""
        with_base = self._sglang_base and model in self._adapters
        return f"{self._sglang_base}:{model}" if with_base else model

    def _ask(self, method: str, path: str, body: JsonObject | None, timeout_s: float) -> str:
        try:
            if method == "GET":
                return self._client.get(path, cast_to=str, options={"timeout": timeout_s})
            return self._client.post(path, cast_to=str, body=body, options={"timeout": timeout_s})
        except openai.APIStatusError as error:
            raise as_error(self.url, _refusal(error)) from error
        except (openai.APITimeoutError, httpx2.TimeoutException) as error:
            raise _slow(self.url, timeout_s) from error
        except (openai.APIError, httpx2.HTTPError) as error:
            raise _unreachable(self.url, error) from error


@functools.cache
def _trusted() -> ssl.SSLContext:
    """The certificates that this process trusts, read once: a twentieth of a second each time."""
    return httpx2.create_ssl_context()


def _refusal(error: openai.APIStatusError) -> Refusal:
    response = error.response
    refusal = read_refusal(error.status_code, response.text, response.headers.get("retry-after"))
    if not response.history:
        return refusal
    led_to = response.url.copy_with(query=None)  # a login's query may hold what is secret
    return replace(refusal, message=f"{refusal.message} (the address led on to {led_to})")


def _slow(url: str, timeout_s: float) -> SlowReplyError:
    return SlowReplyError(
        f"{url} did not finish its answer within {timeout_s:g} s", "timeout_s of its section is the limit"
    )


def _unreachable(url: str, error: Exception) -> ChatError | ChatUnavailableError:
    """The client's own words are `Connection error.`: the reason is in what caused it."""
    cause = error.__cause__ or error
    reason = str(cause) or type(cause).__name__
    if isinstance(cause, NOWHERE):
        return EndpointBlockedError(f"{url} leads nowhere: {reason}", "is the address right?")
    if isinstance(cause, httpx2.ConnectError):
        return UnreachableError(f"{url} can't be reached: {reason}", "is it running? the job is tried again")
    broken = ChatUnavailableError(f"{url} gave no whole answer: {reason}", "the job is tried again")
    broken.of_request = True  # such as a reply that takes longer than a proxy keeps a connection open
    return broken


def _unsupported(url: str, error: ChatError) -> AdaptersUnsupportedError:
    hint = "run with --levers harness, or serve with SGLang (--enable-lora) or vLLM (also with"
    hint += " VLLM_ALLOW_RUNTIME_LORA_UPDATING=True)"
    return AdaptersUnsupportedError(f"{url} can't load adapters ({error.message})", hint)

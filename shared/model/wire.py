"""What goes over the wire to an OpenAI-compatible endpoint and what comes back, as plain values. No client.

A reply is data whatever it says: empty, cut short, not JSON, with odd characters. Token ids, free flags and
prompt ids are extensions: where an endpoint does not tell them, or does so wrongly, their tuples are empty.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ValidationError

from shared.messages.records import Cost, JsonObject, Sample, derive_seed, digest_of

MAX_TEXT = 1_000_000  # characters; an endpoint that ignores max_tokens must not fill the store


@dataclass(frozen=True)
class SampleRequest:
    """`n` replies to one conversation. Reply i hangs on (seed, i) alone, never on n."""

    model: str  # the endpoint's name
    messages: list[dict[str, str]]
    seed: int
    max_tokens: int
    n: int = 1
    temperature: float = 1.0
    schema: JsonObject | None = None
    weights: str = ""  # digests of what stands behind `model`; a name alone may mean other weights elsewhere

    def key(self, index: int) -> str:
        """The name under which reply `index` is stored: whatever the reply depends on, and nothing else."""
        parts = [self.weights or self.model, self.messages, self.schema, self.temperature, self.max_tokens]
        return f"{digest_of([*parts, self.seed])}-{index}"

    def body(self, index: int, extensions: bool) -> JsonObject:
        """The request for reply `index`, less `model` and `messages`."""
        body: JsonObject = {
            "n": 1,
            "seed": derive_seed(self.seed, index),
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "logprobs": True,
        }
        if extensions:
            body["return_token_ids"] = True
        if self.schema is not None:
            schema = {"name": "reply", "schema": self.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body


def _clean(text: object) -> object:
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else text


class _Message(BaseModel):
    content: Annotated[str, BeforeValidator(_clean)] | None = None


class _Token(BaseModel):
    logprob: float


class _Logprobs(BaseModel):
    content: list[_Token] | None = None


class _Choice(BaseModel):
    message: _Message = _Message()
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None
    token_ids: list[int] | None = None
    free_tokens: list[bool] | None = None
    prompt_token_ids: list[int] | None = None


class _Usage(BaseModel):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(BaseModel):
    choices: list[_Choice]
    usage: _Usage | None = None
    prompt_token_ids: list[int] | None = None


def parse_completion(body: bytes) -> tuple[Sample, Cost] | None:
    """The one reply in a completion and what it cost; None where the body is no completion at all."""
    try:
        completion = _Completion.model_validate(json.loads(body.decode("utf-8", "replace")))
    except (ValueError, RecursionError, ValidationError):
        return None
    choice = completion.choices[0] if completion.choices else _Choice(finish_reason="no_choice")
    usage = completion.usage or _Usage()
    cost = Cost(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens)
    return _sample(choice, choice.prompt_token_ids or completion.prompt_token_ids or []), cost


def _sample(choice: _Choice, prompt_ids: list[int]) -> Sample:
    text = choice.message.content or ""
    finish = choice.finish_reason or ""
    tokens = (choice.logprobs.content if choice.logprobs else None) or []
    logprobs = [token.logprob for token in tokens]
    told = [column for column in (choice.token_ids, logprobs, choice.free_tokens) if column]
    if len(text) > MAX_TEXT:
        return Sample(text=text[:MAX_TEXT], finish_reason="too_long")
    if len({len(column) for column in told}) > 1 or not all(map(math.isfinite, logprobs)):
        return Sample(
            text=text, finish_reason=finish
        )  # what the tokens were can't be trusted: nothing to learn
    return Sample(
        text=text,
        prompt_ids=tuple(prompt_ids),
        token_ids=tuple(choice.token_ids or ()),
        logprobs=tuple(logprobs),
        free=tuple(choice.free_tokens or ()),
        finish_reason=finish,
    )


def parse_prompt_logprobs(body: bytes, token_ids: list[int]) -> list[float] | None:
    """Log-probabilities of token_ids[1:], from vLLM's form; None where the body does not hold them."""
    try:
        told = json.loads(body)["choices"][0]["prompt_logprobs"]
        logprobs = [float(told[i][str(token_ids[i])]["logprob"]) for i in range(1, len(token_ids))]
    except (ValueError, LookupError, TypeError):
        return None
    return logprobs if all(map(math.isfinite, logprobs)) else None

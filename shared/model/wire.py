"""Requests to an OpenAI-compatible endpoint, as plain values. No client; what comes back is
read in reading.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.messages.records import JsonObject, derive_seed, digest_of
from shared.model.options import SYSTEM, Options


@dataclass(frozen=True)
class SampleRequest:
    """`n` replies to one conversation. Reply i depends on (seed, i) alone, never on n."""

    model: str  # the endpoint's name
    messages: list[dict[str, str]]
    seed: int
    max_tokens: int
    n: int = 1
    temperature: float = 1.0
    schema: JsonObject | None = None
    weights: str = ""  # digests of what stands behind `model`; a name alone may mean other weights elsewhere

    def key(self, index: int, asked_of: str = "") -> str:
        """The name under which reply `index` is stored: whatever the reply depends on, and nothing else.
        `asked_of`: which endpoint with which options."""
        parts = [self.weights or self.model, self.messages, self.schema, self.temperature, self.max_tokens]
        return f"{digest_of([*parts, self.seed, *([asked_of] if asked_of else [])])}-{index}"

    def body(self, index: int, options: Options) -> JsonObject:
        """The whole request for reply `index`, with the endpoint's names of parameters."""
        body: JsonObject = {
            "n": 1,
            "seed": derive_seed(self.seed, index),
            "temperature": self.temperature,
            options.max_tokens_name: self.max_tokens,
            "logprobs": True,
            "return_token_ids": True,
        }
        if self.schema is not None:
            schema = {"name": "reply", "schema": self.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        kept = {name: value for name, value in (body | options.added).items() if name not in options.omit}
        messages = without_system(self.messages) if SYSTEM in options.omit else self.messages
        return {"model": self.model, "messages": messages} | kept

    def prompt_tokens_about(self) -> int:
        """An estimate for endpoints that report no usage, and for what is not yet paid: a token is about four
        characters, and each message brings a few of its own."""
        return sum(tokens_about(message["content"]) + 4 for message in self.messages)


def without_system(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The same for models that know no system message: its text begins the first message of the user."""
    if not messages or messages[0]["role"] != SYSTEM:
        return messages
    first, *rest = messages
    if not rest or rest[0]["role"] != "user":
        return [{"role": "user", "content": first["content"]}, *rest]
    return [{"role": "user", "content": f"{first['content']}\n\n{rest[0]['content']}"}, *rest[1:]]


CHARS_A_TOKEN = 4


def tokens_about(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // CHARS_A_TOKEN)

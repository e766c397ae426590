"""Requests of clients, with OpenAI's names and vLLM's. A field that is not here is refused, never ignored in
silence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SURROGATE = re.compile("[\ud800-\udfff]")
MOST_SCHEMA_DEPTH = 64  # schemas are compiled recursively, a call a level


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _whole_characters(cls, body: Any) -> Any:
        """JSON can spell half of a surrogate pair, which no tokenizer, path or log takes."""
        for value in body.values() if isinstance(body, dict) else ():
            if isinstance(value, str) and SURROGATE.search(value):
                raise ValueError("half of a surrogate pair, which is no character")
        return body


class TextPart(Wire):
    type: Literal["text"]
    text: str


class ChatMessage(Wire):
    role: str
    content: str | list[TextPart]

    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


class JsonSchema(Wire):
    name: str = ""
    description: str = ""
    schema_: dict[str, Any] = Field(alias="schema")
    strict: bool | None = None

    @field_validator("schema_")
    @classmethod
    def _not_too_deep(cls, schema: dict[str, Any]) -> dict[str, Any]:
        level, depth = [schema], 0
        while level := [child for value in level for child in _children(value)]:
            depth += 1
            if depth > MOST_SCHEMA_DEPTH:
                raise ValueError(f"the schema is nested more than {MOST_SCHEMA_DEPTH} deep")
        if SURROGATE.search(json.dumps(schema, ensure_ascii=False)):
            raise ValueError("half of a surrogate pair, which is no character")
        return schema


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


class ResponseFormat(Wire):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None

    def schema_or_none(self) -> dict[str, Any] | None:
        if self.type == "text":
            return None
        return self.json_schema.schema_ if self.json_schema else {"type": "object"}


class Sampling(Wire):
    """What chat and plain completions share."""

    model: str
    n: int = Field(1, ge=1, le=1024)
    seed: int | None = None
    temperature: float = Field(1.0, ge=0.0, le=2.0)
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    response_format: ResponseFormat | None = None
    return_token_ids: bool = False
    stream: Literal[False] | None = None  # whole answers only
    user: str = ""  # OpenAI's label of the end user; has no effect there either

    def schema_or_none(self) -> dict[str, Any] | None:
        return self.response_format.schema_or_none() if self.response_format else None


class ChatRequest(Sampling):
    messages: list[ChatMessage] = Field(min_length=1)
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)  # such as enable_thinking
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: Literal[0] | None = None


class CompletionRequest(Sampling):
    prompt: str | Annotated[list[int], Field(min_length=1)]
    max_tokens: int = Field(16, ge=0)
    logprobs: Literal[0] | None = None  # 0: of the chosen tokens only, which are always there
    prompt_logprobs: Literal[0] | None = None


class LoadAdapterRequest(Wire):
    lora_name: str = Field(min_length=1, max_length=200)
    lora_path: str = Field(min_length=1, pattern=r"\A[^\x00]+\z")


class UnloadAdapterRequest(Wire):
    lora_name: str

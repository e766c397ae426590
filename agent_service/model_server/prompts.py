"""From a request to rows: the chat template, token ids, length checks, one row for each choice."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Sequence
from typing import Any

from agent_service.model_server.decoding.constrained import Grammars
from agent_service.model_server.decoding.rows import Row
from agent_service.model_server.loading import LanguageModel
from agent_service.model_server.refusal import Refusal
from agent_service.model_server.schemas import ChatRequest, CompletionRequest, Sampling

MOST_TOKENS = 1 << 18  # of all answers of one request together


class Prompter:
    """Holds what turning a request into rows needs. May be used from any thread."""

    def __init__(self, language: LanguageModel) -> None:
        self._language = language
        self._grammars = Grammars(language.tokenizer, language.vocab, language.stop_tokens)

    @property
    def on_gpu(self) -> bool:
        return self._language.device.type == "cuda"

    def chat_rows(self, request: ChatRequest) -> list[Row]:
        prompt = self._chat_prompt(request)
        room = self._language.context - len(prompt)
        return self._rows(
            request, prompt, request.max_completion_tokens or request.max_tokens or max(room, 1)
        )

    def completion_prompt(self, request: CompletionRequest) -> list[int]:
        if isinstance(request.prompt, str):
            return self._ids(request.prompt, special=True)
        if not all(0 <= token < self._language.vocab for token in request.prompt):
            raise Refusal(f"the prompt has token ids outside 0..{self._language.vocab - 1}")
        return request.prompt

    def completion_rows(self, request: CompletionRequest, prompt: Sequence[int]) -> list[Row]:
        """None at all where max_tokens is 0: the caller wants the prompt's log-probabilities only."""
        self._check_length(prompt, request.max_tokens)
        return self._rows(request, prompt, request.max_tokens) if request.max_tokens else []

    def text(self, tokens: Sequence[int]) -> str:
        decoded: str = self._language.tokenizer.decode(
            list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return decoded

    def token_text(self, token: int) -> str:
        piece: str = self._language.tokenizer.decode([token], clean_up_tokenization_spaces=False)
        return piece

    def _chat_prompt(self, request: ChatRequest) -> list[int]:
        template, given = self._language.tokenizer.apply_chat_template, request.chat_template_kwargs
        if taken := sorted(given.keys() & inspect.signature(template).parameters):
            raise Refusal(f"chat_template_kwargs are the template's own: not {', '.join(taken)}")
        messages: list[dict[str, Any]] = [{"role": m.role, "content": m.text()} for m in request.messages]
        try:
            text = template(messages, tokenize=False, add_generation_prompt=True, **given)
        except Exception as error:  # a template raises what its author wrote into it
            raise Refusal(f"the chat template refuses these messages: {error}") from error
        return self._ids(text, special=False)

    def _ids(self, text: str, *, special: bool) -> list[int]:
        ids: list[int] = self._language.tokenizer(text, add_special_tokens=special)["input_ids"]
        if not ids:
            raise Refusal("the prompt is empty")
        return ids

    def _check_length(self, prompt: Sequence[int], max_tokens: int) -> None:
        if len(prompt) + max_tokens > self._language.context:
            asked = f"{len(prompt)} prompt tokens and {max_tokens} for the answer"
            raise Refusal(f"too long: {asked}, but the model's context is {self._language.context}")

    def _rows(self, request: Sampling, prompt: Sequence[int], max_tokens: int) -> list[Row]:
        self._check_length(prompt, max_tokens)
        if request.n * max_tokens > MOST_TOKENS:
            raise Refusal(
                f"too much: {request.n} answers of {max_tokens} tokens, at most {MOST_TOKENS} together"
            )
        schema = request.schema_or_none()
        seed = secrets.randbits(63) if request.seed is None else request.seed
        return [
            Row(
                model=request.model,
                prompt=prompt,
                max_tokens=max_tokens,
                seed=seed,
                index=index,
                temperature=request.temperature,
                top_p=request.top_p,
                grammar=None if schema is None else self._grammars.start(schema),
            )
            for index in range(request.n)
        ]

"""Replies to clients, in OpenAI's shapes with vLLM's `token_ids`, `prompt_token_ids` and `prompt_logprobs`,
and our own `free_tokens` (for each token of the answer, whether more than one was allowed) and `gpu_s`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from agent_service.model_server.decoding.rows import Answer
from agent_service.model_server.prompts import Prompter
from agent_service.model_server.refusal import Refusal
from agent_service.model_server.schemas import ChatRequest, CompletionRequest

Json = dict[str, Any]


def chat_reply(
    request: ChatRequest, prompt: Sequence[int], answers: Sequence[Answer], prompter: Prompter
) -> Json:
    choices = []
    for index, answer in enumerate(answers):
        message = {"role": "assistant", "content": prompter.text(answer.tokens)}
        choice = {"index": index, "message": message, "finish_reason": answer.finish, "logprobs": None}
        if request.logprobs:
            choice["logprobs"] = {"content": _chat_logprobs(answer, prompter)}
        choices.append(choice | _extensions(request.return_token_ids, answer))
    reply = _head("chat.completion", request.model, prompt, answers, prompter) | {"choices": choices}
    return reply | ({"prompt_token_ids": list(prompt)} if request.return_token_ids else {})


def completion_reply(
    request: CompletionRequest,
    prompt: Sequence[int],
    answers: Sequence[Answer],
    prompt_logprobs: Sequence[float] | None,
    prompter: Prompter,
) -> Json:
    choices = []
    for index, answer in enumerate(answers or [Answer([], [], [], "length")]):
        choice: Json = {"index": index, "text": prompter.text(answer.tokens), "finish_reason": answer.finish}
        choice["logprobs"] = None
        if request.logprobs is not None:
            pieces = [prompter.token_text(token) for token in answer.tokens]
            choice["logprobs"] = {"tokens": pieces, "token_logprobs": answer.logprobs}
        if prompt_logprobs is not None:
            choice["prompt_logprobs"] = _prompt_logprobs(prompt, prompt_logprobs)
        if request.return_token_ids:
            choice["prompt_token_ids"] = list(prompt)
        choices.append(choice | _extensions(request.return_token_ids, answer))
    return _head("text_completion", request.model, prompt, answers, prompter) | {"choices": choices}


def models_reply(names: Sequence[str]) -> Json:
    """The base first, then the adapters on it."""
    base = names[0]
    cards = [
        {
            "id": name,
            "object": "model",
            "created": 0,
            "owned_by": "ratchet",
            "parent": None if name == base else base,
        }
        for name in names
    ]
    return {"object": "list", "data": cards}


def error_reply(refusal: Refusal) -> Json:
    return {"error": {"message": str(refusal), "type": refusal.kind, "param": None, "code": refusal.status}}


def _head(
    kind: str, model: str, prompt: Sequence[int], answers: Sequence[Answer], prompter: Prompter
) -> Json:
    answered = sum(len(answer.tokens) for answer in answers)
    usage = {
        "prompt_tokens": len(prompt),
        "completion_tokens": answered,
        "total_tokens": len(prompt) + answered,
        "gpu_s": sum(answer.device_s for answer in answers) if prompter.on_gpu else 0.0,
    }
    name = f"{'chatcmpl' if kind.startswith('chat') else 'cmpl'}-{uuid.uuid4().hex}"
    return {"id": name, "object": kind, "created": int(time.time()), "model": model, "usage": usage}


def _extensions(wanted: bool, answer: Answer) -> Json:
    return {"token_ids": answer.tokens, "free_tokens": answer.free} if wanted else {}


def _chat_logprobs(answer: Answer, prompter: Prompter) -> list[Json]:
    items = []
    for token, logprob in zip(answer.tokens, answer.logprobs, strict=True):
        piece = prompter.token_text(token)
        items.append({"token": piece, "logprob": logprob, "bytes": list(piece.encode()), "top_logprobs": []})
    return items


def _prompt_logprobs(prompt: Sequence[int], logprobs: Sequence[float]) -> list[Json | None]:
    scored = zip(prompt[1:], logprobs, strict=True)
    return [None, *({str(token): {"logprob": logprob}} for token, logprob in scored)]

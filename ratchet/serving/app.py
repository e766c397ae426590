"""The OpenAI chat API over a run's release: an instance in the last user message, the scaffold's answer back.
Every reply names its release, in a header and in the body.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from ratchet.serving.answerer import Answer
from ratchet.serving.batches import Batches
from ratchet.serving.feedback import Feedback
from ratchet.serving.instances import read_instance
from shared.errors import RatchetError, SettingsError


class ChatMessage(BaseModel):
    model_config = ConfigDict(extra="ignore")
    role: str
    content: str


class ChatRequest(BaseModel):
    """Sampling parameters are the harness's, so those of a request are accepted and have no effect."""

    model_config = ConfigDict(extra="ignore")
    model: str = ""
    messages: list[ChatMessage]
    stream: bool = False


class Score(BaseModel):
    """The score of an answer, measured by the user, and what the answer should have been."""

    model_config = ConfigDict(extra="forbid")
    id: str
    score: float = Field(allow_inf_nan=False)
    right: str = ""
    note: str = ""


def make_app(batches: Batches, name: str, field: str | None, feedback: Feedback) -> FastAPI:
    """`field`: of the instance that plain text goes into."""
    app = FastAPI(title=f"Ratchet: {name}")

    @app.exception_handler(RatchetError)
    async def failed(request: Request, error: RatchetError) -> JSONResponse:
        kind, status = (
            ("invalid_request_error", 400) if isinstance(error, SettingsError) else ("server_error", 503)
        )
        return JSONResponse({"error": {"message": str(error), "type": kind}}, status)

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "ratchet"}]}

    @app.get("/healthz")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/v1/chat/completions")
    async def complete(request: ChatRequest) -> JSONResponse:
        asked = [message.content for message in request.messages if message.role == "user"]
        if not asked or request.stream:
            raise SettingsError("one user message is needed, and streams are not offered", "stream=False")
        instance = read_instance(asked[-1], field)
        answer = await asyncio.wrap_future(batches.submit(instance))
        if answer.content is None:
            raise RatchetError(f"the release gave no answer: {answer.error}")
        completion = _completion(answer, name)
        await run_in_threadpool(feedback.remember, completion["id"], instance, answer)
        return JSONResponse(completion, headers={"X-Ratchet-Release": answer.release})

    @app.post("/v1/scores")
    def score(posted: Score) -> dict[str, str | None]:
        """Keep the score of an answer; where the task makes a train instance of it, that one's digest."""
        kept = feedback.post(posted.id, posted.score, posted.right, posted.note)
        return {"status": "kept", "train_instance": kept.instance or None, "why": kept.why}

    return app


def _completion(answer: Answer, name: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer.content}
    return {
        "id": f"ratchet-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": name,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "ratchet": {"release": answer.release},
    }

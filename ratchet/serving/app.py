"""The OpenAI chat API over a run's release: an instance in the last user message, the scaffold's answer back.
Every reply names its release, in a header and in the body.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from ratchet.serving.answerer import Answer
from ratchet.serving.batches import Batches
from ratchet.serving.instances import read_instance
from shared.errors import RatchetError, SettingsError

KEPT = 4096  # answers that a score may still be posted for


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
    """The score of an answer, measured by the user."""

    model_config = ConfigDict(extra="forbid")
    id: str
    score: float
    note: str = ""


def make_app(batches: Batches, name: str, field: str | None, scores: Path) -> FastAPI:
    """`field`: of the instance that plain text goes into. `scores`: the file that posted scores go to."""
    app = FastAPI(title=f"Ratchet: {name}")
    given: dict[str, dict[str, Any]] = {}

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
        given[completion["id"]] = {"instance": instance, "answer": answer.content, "release": answer.release}
        while len(given) > KEPT:
            given.pop(next(iter(given)))
        return JSONResponse(completion, headers={"X-Ratchet-Release": answer.release})

    @app.post("/v1/scores")
    def score(posted: Score) -> dict[str, str]:
        """Store the score of an answer, beside the run."""
        if posted.id not in given:
            raise SettingsError(f"no answer {posted.id!r} is remembered", f"the last {KEPT} are")
        line = json.dumps({**given[posted.id], **posted.model_dump(), "at": time.time()}, ensure_ascii=False)
        _append(scores, line + "\n")
        return {"status": "kept"}

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


def _append(file: Path, line: str) -> None:
    """In one write, so that lines of several processes don't mix."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)

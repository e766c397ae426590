"""The HTTP side: checks a request, queues its rows, waits for them. Knows nothing of tensors. A client's
disconnect cancels its rows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from agent_service.model_server.access import Access
from agent_service.model_server.adapter_files import find_adapter
from agent_service.model_server.engine import Engine
from agent_service.model_server.idempotency import ReplyCache
from agent_service.model_server.prompts import Prompter
from agent_service.model_server.refusal import Refusal
from agent_service.model_server.replies import chat_reply, completion_reply, error_reply, models_reply
from agent_service.model_server.schemas import (
    ChatRequest,
    CompletionRequest,
    LoadAdapterRequest,
    UnloadAdapterRequest,
)

STILL_THERE_S = 0.5  # how often a waiting request checks that its client is still connected
T = TypeVar("T")
logger = logging.getLogger(__name__)


def create_app(
    engine: Engine,
    prompter: Prompter,
    replies: ReplyCache,
    *,
    api_key: str = "",
    adapters_root: Path | None = None,
) -> FastAPI:
    """`adapters_root`: the folder that adapters must lie in; None: they may lie anywhere."""
    app = FastAPI(title="Ratchet model server", docs_url=None, redoc_url=None)
    _add_refusals(app)
    _add_chat(app, engine, prompter, replies)
    _add_completions(app, engine, prompter)
    _add_adapters(app, engine, adapters_root)
    app.add_middleware(Access, api_key=api_key)

    @app.get("/health")
    async def health() -> PlainTextResponse:
        return PlainTextResponse(
            "ok" if engine.alive else "the model's thread is dead", 200 if engine.alive else 503
        )

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return models_reply(engine.model_names())

    return app


def _add_chat(app: FastAPI, engine: Engine, prompter: Prompter, replies: ReplyCache) -> None:
    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> dict[str, Any]:
        started_s, key, asked = time.monotonic(), request.headers.get("idempotency-key"), body.model_dump()
        if (known := replies.find(key, asked)) is not None:
            logger.info("%s was answered before", key)
            return known
        rows = await run_in_threadpool(prompter.chat_rows, body)
        engine.submit(rows)
        answers = await _wait(request, [row.future for row in rows])
        reply = chat_reply(body, rows[0].prompt, answers, prompter)
        reply["waited_s"] = time.monotonic() - started_s  # kept with it: found again, it is no faster
        replies.keep(key, asked, reply)
        tokens = sum(len(answer.tokens) for answer in answers)
        logger.info("answered %s: %d tokens in %.3f s", key, tokens, time.monotonic() - started_s)
        return reply


def _add_completions(app: FastAPI, engine: Engine, prompter: Prompter) -> None:
    @app.post("/v1/completions")
    async def completions(body: CompletionRequest, request: Request) -> dict[str, Any]:
        prompt = await run_in_threadpool(prompter.completion_prompt, body)
        rows = await run_in_threadpool(prompter.completion_rows, body, prompt)
        scored = [] if body.prompt_logprobs is None else [engine.prompt_logprobs(body.model, prompt)]
        engine.submit(rows)
        logprobs = await _wait(request, scored)
        answers = await _wait(request, [row.future for row in rows])
        return completion_reply(body, prompt, answers, logprobs[0] if logprobs else None, prompter)


def _add_adapters(app: FastAPI, engine: Engine, root: Path | None) -> None:
    @app.post("/v1/load_lora_adapter")
    async def load(body: LoadAdapterRequest) -> PlainTextResponse:
        await asyncio.wrap_future(engine.load_adapter(body.lora_name, find_adapter(body.lora_path, root)))
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' added successfully.")

    @app.post("/v1/unload_lora_adapter")
    async def unload(body: UnloadAdapterRequest) -> PlainTextResponse:
        await asyncio.wrap_future(engine.unload_adapter(body.lora_name))
        return PlainTextResponse(f"Success: LoRA adapter '{body.lora_name}' removed successfully.")


def _add_refusals(app: FastAPI) -> None:
    """Every error in OpenAI's shape."""

    @app.exception_handler(Refusal)
    async def refused(_: Request, refusal: Refusal) -> JSONResponse:
        return JSONResponse(error_reply(refusal), refusal.status)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        lines = [f"{'.'.join(map(str, item['loc'][1:]))}: {item['msg']}" for item in error.errors()]
        return JSONResponse(error_reply(Refusal("; ".join(lines))), 400)

    @app.exception_handler(HTTPException)
    async def unusable(_: Request, error: HTTPException) -> JSONResponse:
        """No such path or method, or a body that is no JSON (or is nested too deeply to be read)."""
        return JSONResponse(error_reply(Refusal(error.detail, status=error.status_code)), error.status_code)

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> JSONResponse:
        refusal = Refusal(f"{type(error).__name__}: {error}", status=500, kind="InternalServerError")
        return JSONResponse(error_reply(refusal), 500)


async def _wait(request: Request, futures: Sequence[Future[T]]) -> list[T]:
    """All results, in order; the first failure. Cancels what is still waiting when the client disconnects."""
    everything = asyncio.gather(*(asyncio.wrap_future(future) for future in futures))
    while True:
        done, _ = await asyncio.wait([everything], timeout=STILL_THERE_S)
        if done:
            return everything.result()
        if await request.is_disconnected():
            for future in futures:
                future.cancel()
            everything.cancel()
            with suppress(asyncio.CancelledError):
                await everything  # else asyncio logs as an error that nobody asked how it ended
            raise Refusal("the client disconnected", status=499, kind="ClientClosedRequest")

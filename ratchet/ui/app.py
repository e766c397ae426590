"""The console: read-only pages over the runs of one root. Nothing on them starts, stops or changes anything.

Pages are rendered here; live.js only appends new events and reloads the page's content when a decision falls.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from fastapi.templating import Jinja2Templates

from ratchet.reports.formats import number_text
from ratchet.ui import pages
from ratchet.ui.attempts import attempt_page, attempts_page, cut
from ratchet.ui.comparisons import comparison_page, comparisons, picture_path
from ratchet.ui.generation import generation_page
from ratchet.ui.lineage import lineage_page
from ratchet.ui.runs import Runs
from shared.errors import RatchetError

HERE = Path(__file__).parent
POLL_S = 1.0
COOKIE = "ratchet_token"
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def make_app(root: Path, token: str = "", hosts: frozenset[str] = frozenset()) -> FastAPI:
    """`token`: required of every request (?token=, then a cookie); empty: none. `hosts`: the allowed Host
    headers, so that no page of another site reaches the console through the browser; empty: any."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    runs = Runs(root)
    runs.read_ahead()
    templates = Jinja2Templates(directory=HERE / "templates")
    templates.env.filters["number"] = number_text
    templates.env.filters["cut"] = cut
    for template in templates.env.list_templates():
        templates.env.get_template(template)  # compiled now, and not within the first request
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")

    _guard(app, token, hosts)

    @app.exception_handler(RatchetError)
    @app.exception_handler(LookupError)
    async def missing(request: Request, error: Exception) -> Response:
        page = templates.TemplateResponse(request, "missing.html", {"why": str(error)}, status_code=404)
        page.headers.update(HEADERS)
        return page

    _add_lists(app, runs, templates)
    _add_run(app, runs, templates)
    return app


def _add_lists(app: FastAPI, runs: Runs, templates: Jinja2Templates) -> None:
    root = runs.root

    @app.get("/")
    def index(request: Request) -> HTMLResponse:
        rows = [pages.run_row(runs.view(name)) for name in runs.names()]
        shown = {"rows": rows, "root": str(root), "comparisons": comparisons(root)}
        return templates.TemplateResponse(request, "runs.html", shown)

    @app.get("/comparisons/{name}")
    def comparison(request: Request, name: str) -> HTMLResponse:
        return templates.TemplateResponse(request, "comparison.html", comparison_page(root, name))

    @app.get("/comparisons/{name}/{file}")
    def picture(name: str, file: str) -> FileResponse:
        return FileResponse(picture_path(root, name, file))

    @app.get("/compare")
    def compare(request: Request, run: Annotated[list[str], Query()]) -> HTMLResponse:
        shown = pages.compare_page([runs.view(name) for name in run])
        return templates.TemplateResponse(request, "compare.html", shown)


def _add_run(app: FastAPI, runs: Runs, templates: Jinja2Templates) -> None:
    @app.get("/runs/{name}")
    def run_page(request: Request, name: str, page: int = 0) -> HTMLResponse:
        shown = pages.run_page(runs.view(name), max(page, 0))
        return templates.TemplateResponse(request, "run.html", shown)

    @app.get("/runs/{name}/lineage")
    def lineage(request: Request, name: str, first: int = 0, second: int = 0) -> HTMLResponse:
        shown = lineage_page(runs.view(name), first, second)
        return templates.TemplateResponse(request, "lineage.html", shown)

    @app.get("/runs/{name}/generations/{number}")
    def generation(request: Request, name: str, number: int) -> HTMLResponse:
        shown = generation_page(runs.view(name), number)
        return templates.TemplateResponse(request, "generation.html", shown)

    @app.get("/runs/{name}/generations/{number}/{purpose}")
    def attempts(request: Request, name: str, number: int, purpose: str, page: int = 0) -> HTMLResponse:
        shown = attempts_page(runs.view(name), number, purpose, max(page, 0))
        return templates.TemplateResponse(request, "attempts.html", shown)

    @app.get("/runs/{name}/attempts/{shard}/{index}")
    def attempt(request: Request, name: str, shard: str, index: int) -> HTMLResponse:
        shown = attempt_page(runs.view(name), shard, index)
        return templates.TemplateResponse(request, "attempt.html", shown)

    @app.get("/runs/{name}/events")
    async def events(request: Request, name: str, after: int = 0) -> StreamingResponse:
        return StreamingResponse(_stream(request, runs, name, after), media_type="text/event-stream")


def _guard(app: FastAPI, token: str, hosts: frozenset[str]) -> None:
    """Answers 421 to other hosts, 401 without the token; adds the security headers to every reply."""

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        host = request.headers.get("host", "").rsplit(":", 1)[0]
        if hosts and host not in hosts:
            return PlainTextResponse(f"no page for the host {host!r} here", 421)
        given = request.query_params.get("token") or request.cookies.get(COOKIE, "")
        if token and not hmac.compare_digest(given.encode(), token.encode()):
            return PlainTextResponse("add ?token=... as `ratchet ui` printed it", 401)
        response = await call_next(request)
        if token:
            response.set_cookie(COOKIE, token, httponly=True, samesite="strict")
        response.headers.update(HEADERS)
        return response


async def _stream(request: Request, runs: Runs, name: str, after: int) -> AsyncIterator[str]:
    """Sentences of events later than `after`, as server-sent events, until the run ends."""
    while not await request.is_disconnected():
        view = await asyncio.to_thread(runs.view, name)
        for seq, seconds, text in [row for row in view.sentences if row[0] > after]:
            after = seq
            yield f"id: {seq}\ndata: {json.dumps({'s': round(seconds), 'text': text})}\n\n"
        if view.history.finished:
            yield "event: end\ndata: {}\n\n"
            return
        await asyncio.sleep(POLL_S)

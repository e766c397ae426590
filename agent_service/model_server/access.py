"""Access control: a bearer token and a limit on a request's body, before anything is parsed."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi.responses import JSONResponse

from agent_service.model_server.refusal import Refusal
from agent_service.model_server.replies import error_reply

MOST_BODY_BYTES = 4 << 20
OPEN_PATHS = ("/health",)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Access:
    """ASGI middleware. `api_key` empty: every client that can connect may ask."""

    def __init__(self, app: App, api_key: str = "", most_body_bytes: int = MOST_BODY_BYTES) -> None:
        self._app = app
        self._api_key = api_key
        self._most_body_bytes = most_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            self._check_key(scope)
            body = await self._body(receive)
        except Refusal as refusal:
            await JSONResponse(error_reply(refusal), refusal.status)(scope, receive, send)
            return
        whole = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> MutableMapping[str, Any]:
            return whole.pop() if whole else await receive()

        await self._app(scope, replay, send)

    def _check_key(self, scope: Scope) -> None:
        given = dict(scope["headers"]).get(b"authorization", b"")
        expected = f"Bearer {self._api_key}".encode()
        if self._api_key and scope["path"] not in OPEN_PATHS and not secrets.compare_digest(given, expected):
            raise Refusal("wrong or no API key", status=401, kind="AuthenticationError")

    async def _body(self, receive: Receive) -> bytes:
        """A body cut off by a client's disconnect is no request either: it is refused, though no client reads
        the reply."""
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise Refusal("the client disconnected", status=499, kind="ClientClosedRequest")
            body += bytes(message.get("body", b""))
            if len(body) > self._most_body_bytes:
                message_text = f"the request is larger than {self._most_body_bytes} bytes"
                raise Refusal(message_text, status=413, kind="RequestTooLargeError")
            if not message.get("more_body"):
                return body

"""Responses that are no reply: of an error's body only the beginning is read, as text whatever its charset is
called, and where a route has moved is asked as the route was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx2

ERROR_BYTES, ERROR_S = 1 << 20, 5.0  # as much as is read of it


class _Beginning(httpx2.SyncByteStream):
    """Of an error's body, of which its status is what counts: the rest may never come."""

    def __init__(self, whole: httpx2.SyncByteStream) -> None:
        self._whole = whole

    def __iter__(self) -> Iterator[bytes]:
        received, deadline = 0, time.monotonic() + ERROR_S
        try:
            for chunk in self._whole:
                yield chunk
                received += len(chunk)
                if received > ERROR_BYTES or time.monotonic() > deadline:
                    return
        except httpx2.HTTPError:
            return

    def close(self) -> None:
        self._whole.close()


def prepare(response: httpx2.Response) -> None:
    """To be called with every response before its body is read."""
    response.encoding = "utf-8"  # a charset that a header names may be none
    if response.status_code in (301, 302) and _same_route(response):
        response.status_code = 308  # else the client goes on with GET, which no endpoint answers
    if not response.is_success and isinstance(response.stream, httpx2.SyncByteStream):
        response.stream = _Beginning(response.stream)


def _same_route(response: httpx2.Response) -> bool:
    """Whether it leads on to the same path, as from http to https or to a slash at its end: to no login."""
    led_to = urlsplit(response.headers.get("location", "")).path
    return led_to.rstrip("/") == response.request.url.path.rstrip("/")

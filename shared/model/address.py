"""The address of an endpoint, as users write it and as requests use it: with or without /v1, with the
route's end copied from a manual, several servers in one setting."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit, urlunsplit

ROUTES = ("/chat/completions", "/completions", "/responses", "/models")
_VERSION = re.compile(r"/v\d+[a-z0-9]*(/|$)")


def split_urls(text: str) -> list[str]:
    """The addresses of a setting, separated by commas or spaces."""
    return [url for url in re.split(r"[\s,]+", text) if url]


def without_route(url: str) -> str:
    """The address below which the routes lie."""
    split = urlsplit(url)
    path = split.path.rstrip("/")
    for route in ROUTES:
        path = path.removesuffix(route)
    return urlunsplit(split._replace(path=path.rstrip("/")))


def likely(url: str) -> list[str]:
    """The addresses that the user may have meant, likeliest first: the address as given, and below /v1."""
    plain = without_route(url)
    split = urlsplit(plain)
    if _VERSION.search(split.path):
        return [plain]
    return [plain, urlunsplit(split._replace(path=f"{split.path}/v1"))]


def query_of(url: str) -> tuple[str, dict[str, str]]:
    """The address without its query, and the query: a client adds it to every request."""
    split = urlsplit(url)
    return urlunsplit(split._replace(query="")), dict(parse_qsl(split.query, keep_blank_values=True))


def identity(url: str) -> str:
    """What distinguishes endpoints in a store that they share; the same however the address was written."""
    plain = [query_of(without_route(one))[0] for one in split_urls(url)]
    return " ".join(sorted(one.removesuffix("/v1") for one in plain))

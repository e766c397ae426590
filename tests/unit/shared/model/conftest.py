"""A real HTTP server on 127.0.0.1, and a client of it."""

from tests.parts.chat import chat, endpoint, store

__all__ = ["chat", "endpoint", "store"]

"""Adapters on a real HTTP server on 127.0.0.1."""

from pathlib import Path

import pytest

from agent_service.adapters import Adapters
from shared.model.client import Chat
from shared.store.store import LocalStore
from tests.parts.chat import chat, endpoint, store

__all__ = ["adapters", "chat", "endpoint", "store"]


@pytest.fixture
def adapters(chat: Chat, store: LocalStore, tmp_path: Path) -> Adapters:
    return Adapters(chat, store, tmp_path / "cache", "seed")

"""Fixtures for a conftest.py: a real HTTP server on 127.0.0.1, a store, and a client of both."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.model.client import Chat
from shared.store.store import LocalStore
from tests.parts.endpoint import Endpoint


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def chat(endpoint: Endpoint, store: LocalStore) -> Iterator[Chat]:
    opened = Chat(endpoint.url, store, api_key="k", timeout_s=20, concurrency=4)
    yield opened
    opened.close()

"""Replies that take longer than they may, from a real HTTP server on 127.0.0.1."""

import time
from collections.abc import Iterator

import pytest

from shared.errors import ChatUnavailableError
from shared.model.client import Chat
from shared.model.wire import SampleRequest
from shared.store.store import LocalStore
from tests.parts.endpoint import Endpoint, Fault

ASK = SampleRequest(model="seed", messages=[{"role": "user", "content": "hi"}], seed=7, max_tokens=9)


@pytest.fixture
def hasty(endpoint: Endpoint, store: LocalStore) -> Iterator[Chat]:
    endpoint.faults = [Fault(200, b"x" * 600, trickle_s=0.05)] * 4
    endpoint.well = False
    opened = Chat(endpoint.url, store, api_key="k", timeout_s=0.5, concurrency=1)
    yield opened
    opened.close()


def test_a_trickle_does_not_outlast_the_deadline(hasty: Chat) -> None:
    with pytest.raises(ChatUnavailableError, match=r"did not finish its answer within 0.5 s \(timeout_s"):
        hasty.sample([ASK])


def test_it_is_not_asked_for_again_when_the_job_has_no_time_left(hasty: Chat, endpoint: Endpoint) -> None:
    with hasty.asking(until_s=time.monotonic() + 0.2) as asking:
        [future] = asking.ask(ASK)
        with pytest.raises(ChatUnavailableError, match="did not finish"):
            future.result()
    assert len(endpoint.asked) == 1

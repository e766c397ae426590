"""One address of an endpoint, whose answers may be odd below the level of JSON."""

import gzip
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from shared.errors import ChatUnavailableError, EndpointBlockedError
from shared.model.client import Chat
from shared.model.replies.error_bodies import ERROR_BYTES
from shared.model.wire import SampleRequest
from shared.store.store import LocalStore
from tests.parts.endpoint import Endpoint, Fault, completion

OK = completion("abc")
ASK = SampleRequest(model="seed", messages=[{"role": "user", "content": "hi"}], seed=7, max_tokens=9)


def test_a_packed_answer_of_an_odd_type_is_used(chat: Chat, endpoint: Endpoint) -> None:
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/html; charset=nonsense"}
    endpoint.faults = [Fault(200, gzip.compress(json.dumps(completion("abc")).encode()), headers)]
    assert chat.sample([ASK]).replies[0].samples[0].text == "abc"


def test_an_error_counts_by_its_status_though_its_body_breaks_off(chat: Chat, endpoint: Endpoint) -> None:
    endpoint.faults = [Fault(429, b'{"error": "slow down"}', {"Retry-After": "40"}, breaks_off=True)]
    with pytest.raises(ChatUnavailableError, match="429") as caught:
        chat.sample([ASK])
    assert (caught.value.of_request, caught.value.retry_after_s) == (False, 40.0)


def test_of_an_errors_body_only_the_beginning_is_read(chat: Chat, endpoint: Endpoint) -> None:
    endpoint.faults = [Fault(401, json.dumps({"error": "x" * 2 * ERROR_BYTES}).encode())]
    with pytest.raises(EndpointBlockedError, match="401: JSON that is not whole"):
        chat.sample([ASK])


@pytest.mark.parametrize("charset", ["utf-16", "base64", "idna", "nonsense"])
def test_an_errors_charset_may_be_none(chat: Chat, endpoint: Endpoint, charset: str) -> None:
    headers = {"Content-Type": f"text/plain; charset={charset}"}
    endpoint.faults = [Fault(401, b"who are you", headers)]
    with pytest.raises(EndpointBlockedError, match="who are you"):
        chat.sample([ASK])


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("end", ["", "/"])
def test_a_route_that_has_moved_is_asked_where_it_is(
    chat: Chat, endpoint: Endpoint, status: int, end: str
) -> None:
    moved = f"{endpoint.url}/chat/completions{end}"
    endpoint.faults = [Fault(status, headers={"Location": moved}), Fault(200, json.dumps(OK).encode())]
    assert chat.sample([ASK]).replies[0].samples[0].text == "abc"
    assert endpoint.seen[-1] == (f"/v1/chat/completions{end}", endpoint.seen[0][1])


@pytest.mark.parametrize("leads_to", ["/v1/chat/completions", "ftp://127.0.0.1/"])
def test_an_address_that_leads_nowhere_blocks_the_run(chat: Chat, endpoint: Endpoint, leads_to: str) -> None:
    endpoint.faults = [Fault(307, headers={"Location": leads_to})] * 99
    with pytest.raises(EndpointBlockedError, match=f"{endpoint.url} leads nowhere"):
        chat.sample([replace(ASK, n=1)])


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        ({"object": "list", "data": [{"id": "a"}, {"id": "b"}]}, ["a", "b"]),
        ([{"id": "a"}, {"id": "b"}], ["a", "b"]),  # the bare list
        ({"object": "list", "data": None}, []),  # an Ollama that has none
    ],
)
def test_the_list_of_models_is_read_in_each_form(
    chat: Chat, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, listed: object, names: list[str]
) -> None:
    monkeypatch.setattr(endpoint, "respond", lambda path, body: Fault(200, json.dumps(listed).encode()))
    assert chat.servers[0].models() == names


@pytest.mark.parametrize("status", [401, 403, 404, 405])
def test_an_adapter_that_may_not_be_unloaded_stays(
    chat: Chat, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(endpoint, "respond", lambda path, body: Fault(status))
    assert not chat.servers[0].unload_adapter("a")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])  # the second as servers print it
def test_no_proxy_leads_to_this_machine(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    chat = Chat(
        endpoint.url.replace("127.0.0.1", host),
        LocalStore(tmp_path),
        api_key="k",
        timeout_s=20,
        concurrency=1,
    )
    with closing(chat):
        assert chat.sample([ASK]).replies[0].samples

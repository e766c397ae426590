"""What a run may pull on a user's own endpoint is found out before it begins."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from ratchet.runs.endpoint import settle_levers
from shared.config.settings import RunConfig, load_config
from shared.errors import AdaptersUnsupportedError, SettingsError
from tests.parts.endpoint import Endpoint, Fault


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as running:
        yield running


def config(url: str, levers: str = "both", **model: Any) -> RunConfig:
    return load_config([{"run": {"levers": levers}, "model": {"url": url, "base": "/a/folder"} | model}])


def test_with_a_base_and_lora_routes_both_levers_stay(endpoint: Endpoint) -> None:
    settled, lost = settle_levers(config(endpoint.url))
    assert (settled.run.levers, lost) == ("both", "")
    assert endpoint.adapters == {}


def test_without_lora_routes_the_run_is_harness_only_and_says_so(endpoint: Endpoint) -> None:
    endpoint.lora_routes = False
    settled, said = settle_levers(config(endpoint.url))
    assert settled.run.levers == "harness"
    assert said == f"{endpoint.url} can't load adapters: harness-only run"


@pytest.mark.parametrize(
    "answer",
    [
        Fault(404, b'{"error": {"message": "Invalid URL (POST /v1/load_lora_adapter)"}}'),
        Fault(405, b'{"detail": "Method Not Allowed"}'),
        Fault(501, b"not implemented"),
        Fault(200, b'{"error": "Unexpected endpoint or method"}'),
    ],
    ids=lambda fault: str(fault.status),
)
def test_however_an_endpoint_says_that_it_has_no_such_route(endpoint: Endpoint, answer: Fault) -> None:
    endpoint.lora_routes, endpoint.no_lora = False, answer
    assert settle_levers(config(endpoint.url))[0].run.levers == "harness"


def test_a_model_that_ratchet_has_no_files_of_leaves_the_harness_lever(endpoint: Endpoint) -> None:
    settled, said = settle_levers(config(endpoint.url, base="seed"))
    assert settled.run.levers == "harness"
    assert "serves its own model" in said


def test_the_weights_lever_alone_is_refused_where_it_can_not_be_pulled(endpoint: Endpoint) -> None:
    endpoint.lora_routes = False
    with pytest.raises(AdaptersUnsupportedError, match="--levers harness"):
        settle_levers(config(endpoint.url, levers="weights"))


def test_a_model_that_is_not_served_is_named_with_those_that_are(endpoint: Endpoint) -> None:
    with pytest.raises(SettingsError, match=r"does not serve 'big' \(set model.name to one of: seed\)"):
        settle_levers(config(endpoint.url, name="big"))


def test_an_endpoint_that_is_not_there_is_said_before_anything_begins() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SettingsError, match=rf"127.0.0.1:{port}.* can't be reached.*correct model.url"):
        settle_levers(config(f"http://127.0.0.1:{port}/v1"))


def test_a_run_on_the_local_model_server_asks_nobody() -> None:
    assert settle_levers(load_config([])) == (load_config([]), "")

"""Before a run: what an endpoint can't take and does not name is found by trial, and what it has is told."""

from collections.abc import Iterator

import pytest

from ratchet.runs.endpoint import settle
from shared.config.settings import load_config
from shared.errors import SettingsError
from tests.parts.endpoint import Body, Endpoint, Fault


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as running:
        running.well = False
        yield running


@pytest.mark.parametrize(
    "refused",
    [("logprobs",), ("response_format",), ("temperature",), ("return_token_ids", "seed"), ("logprobs", "n")],
)
def test_no_more_is_left_out_than_an_endpoint_refuses_without_a_name(
    endpoint: Endpoint, refused: tuple[str, ...]
) -> None:
    endpoint.refuses = dict.fromkeys(refused, "Bad Request")
    settled, [note] = settle(load_config([{"advisor": {"url": endpoint.url, "name": endpoint.base}}]))
    assert settled.advisor.omit == tuple(sorted(refused))
    assert f"refuses {', '.join(sorted(refused))}" in note


def test_a_system_message_that_is_refused_in_odd_words_is_found_out(endpoint: Endpoint) -> None:
    endpoint.answer = lambda body: "OK"
    plain = endpoint.respond

    def respond(path: str, body: Body) -> Fault:
        roles = [message["role"] for message in body.get("messages", ())]
        return Fault(400, b"Bad Request") if "system" in roles else plain(path, body)

    endpoint.respond = respond  # type: ignore[method-assign]
    settled, [note] = settle(load_config([{"advisor": {"url": endpoint.url, "name": endpoint.base}}]))
    assert settled.advisor.omit == ("system",)
    assert "takes no system message" in note


def test_of_many_models_those_with_the_likest_names_are_told(endpoint: Endpoint) -> None:
    endpoint.lists = [f"vendor-{number}/large" for number in range(50)] + ["gpt-4o-mini", "gpt-4o"]
    wrong = {"url": endpoint.url, "name": "gpt-4o-mni"}
    with pytest.raises(SettingsError, match=r"to one of: gpt-4o-mini, gpt-4o, .* and 44 others"):
        settle(load_config([{"model": wrong}]))


def test_an_adapter_that_an_endpoint_takes_without_looking_is_taken_back(endpoint: Endpoint) -> None:
    endpoint.lora_routes, endpoint.no_lora = False, Fault(200, b"Success")
    _, [note] = settle(load_config([{"model": {"url": endpoint.url, "base": "/a/folder"}}]))
    assert "accepts one that does not exist" in note
    assert [path for path, _ in endpoint.seen if "lora" in path][-1] == "/v1/unload_lora_adapter"


def test_what_is_refused_whatever_is_left_out_is_said_as_it_was(endpoint: Endpoint) -> None:
    endpoint.refuses = {"messages": "no such tenant"}
    with pytest.raises(SettingsError, match="no such tenant"):
        settle(load_config([{"advisor": {"url": endpoint.url, "name": endpoint.base}}]))

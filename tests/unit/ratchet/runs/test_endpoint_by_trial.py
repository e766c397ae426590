"""What an endpoint can't take and does not name is found by trial, before a run."""

from collections.abc import Iterator

import pytest

from ratchet.runs.endpoint import settle
from shared.config.settings import load_config
from shared.errors import SettingsError
from tests.parts.endpoint import Endpoint


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


def test_what_is_refused_whatever_is_left_out_is_said_as_it_was(endpoint: Endpoint) -> None:
    endpoint.refuses = {"messages": "no such tenant"}
    with pytest.raises(SettingsError, match="no such tenant"):
        settle(load_config([{"advisor": {"url": endpoint.url, "name": endpoint.base}}]))

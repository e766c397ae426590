"""`ratchet doctor --model URL` reports what an endpoint can do."""

import socket

from ratchet.cli.doctor.endpoint import endpoint_checks
from shared.config.settings import ModelSection
from tests.parts.endpoint import Endpoint


def rows_of(endpoint: Endpoint) -> dict[str, str]:
    checks = endpoint_checks(ModelSection(url=endpoint.url.removesuffix("/v1")))
    assert all(check.ok for check in checks)
    return {check.name: check.detail for check in checks}


def test_an_endpoint_that_can_do_everything() -> None:
    with Endpoint(lambda body: '{"word": "a"}') as endpoint:
        rows = rows_of(endpoint)
    assert rows["answers"] == f"as 'seed' at {endpoint.url}"
    assert "is asked as" in rows["asked as"]
    assert rows["usage"] == rows["log-probabilities"] == "reported"
    assert rows["token ids"].startswith("reported")
    assert rows["answer schema"] == "kept"
    assert rows["the same seed"] == "gives the same reply"
    assert rows["adapters"] == "loaded and verified at runtime"
    assert rows["price"] == "no list price"


def test_what_an_endpoint_can_not_do_is_said_in_its_row() -> None:
    words = iter("abcdef")
    with Endpoint(lambda body: next(words)) as endpoint:
        endpoint.lora_routes = False
        endpoint.refuses = {
            "response_format": "response_format is not supported",
            "logprobs": "logprobs is not supported",
        }
        endpoint.well = False
        rows = rows_of(endpoint)
    assert "refuses logprobs" in rows["asked as"]
    assert rows["answer schema"] == "refused: replies are free text"
    assert "other replies" in rows["the same seed"]
    assert rows["adapters"].startswith("no: ")


def test_an_endpoint_that_is_not_there_fails_with_a_hint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    [check] = endpoint_checks(ModelSection(url=f"http://127.0.0.1:{port}/v1"))
    assert not check.ok
    assert "start it, or correct model.url" in check.hint

"""A request that alone is to blame costs no other request anything; one that is not is no refusal."""

from dataclasses import replace

import pytest

from shared.errors import ChatUnavailableError, EndpointBlockedError, UnknownModelError
from shared.model.client import Chat
from shared.model.wire import SampleRequest
from tests.parts.endpoint import Endpoint, Fault

ASK = SampleRequest(model="seed", messages=[{"role": "user", "content": "hi"}], seed=7, max_tokens=9)


@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_refusal_of_plain_requests_too_is_the_endpoints_and_pauses_the_run(
    chat: Chat, endpoint: Endpoint, status: int
) -> None:
    endpoint.faults, endpoint.well = [Fault(status, b'{"error": "in words that nobody knows"}')] * 9, False
    with pytest.raises(EndpointBlockedError, match="nobody knows; a plain request fails too"):
        chat.sample([ASK])
    assert len(endpoint.seen) == 2


def test_a_refusal_in_other_words_is_judged_anew(chat: Chat, endpoint: Endpoint) -> None:
    too_long = [Fault(400, f'{{"error": "a prompt of {n} tokens is too long"}}'.encode()) for n in (7, 8)]
    endpoint.faults = list(too_long)
    for seed in range(2):
        [refused] = chat.sample([replace(ASK, seed=seed)]).replies
        assert "is too long" in refused.refused
    assert endpoint.controls == 1
    endpoint.faults, endpoint.well = [Fault(400, b'{"error": "this tenant has been halted"}')] * 9, False
    with pytest.raises(EndpointBlockedError, match="halted"):
        chat.sample([replace(ASK, seed=2)])


def test_a_refusal_while_the_endpoint_is_too_busy_for_a_plain_request_is_asked_again_later(
    chat: Chat, endpoint: Endpoint
) -> None:
    busy = Fault(429, headers={"Retry-After": "40"})
    endpoint.faults, endpoint.well = [Fault(403, b'{"error": "flagged"}'), busy], False
    with pytest.raises(ChatUnavailableError, match="flagged") as caught:
        chat.sample([ASK])
    assert (caught.value.of_request, caught.value.retry_after_s) == (False, 40.0)


def test_a_limit_of_tokens_beyond_what_the_endpoint_takes_is_this_requests_fault(
    chat: Chat, endpoint: Endpoint
) -> None:
    endpoint.faults = [Fault(400, b'{"error": "max_tokens is too large: 9000"}')]
    [refused] = chat.sample([replace(ASK, max_tokens=9000)]).replies
    assert "too large" in refused.refused
    assert [body["max_tokens"] for _, body in endpoint.seen] == [9000, 256]


@pytest.mark.parametrize(
    "fault",
    [
        Fault(400, b'{"error": {"message": "Rate limit reached for m"}}'),
        Fault(403, b'{"error": {"message": "no", "code": "rate_limit_exceeded"}}'),
        Fault(404, b'{"error": "Model m is currently loading"}'),
        Fault(500, b'{"error": {"message": "the server is overloaded"}}'),
        Fault(200, b'{"error": {"message": "Rate limit reached", "type": "rate_limit_error"}}'),
        Fault(200, b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'),
    ],
    ids=lambda fault: str(fault.status),
)
def test_a_busy_endpoint_that_says_so_with_another_status_costs_no_attempt_and_no_pause(
    chat: Chat, endpoint: Endpoint, fault: Fault
) -> None:
    endpoint.faults = [fault] * 4
    with pytest.raises(ChatUnavailableError) as caught:
        chat.sample([ASK])
    assert (caught.value.of_request, len(endpoint.asked), endpoint.controls) == (False, 4, 0)


def test_an_account_without_money_that_says_so_within_a_200_blocks_the_run(
    chat: Chat, endpoint: Endpoint
) -> None:
    endpoint.faults = [Fault(200, b'{"error": {"message": "Insufficient balance", "type": "error"}}')]
    with pytest.raises(EndpointBlockedError, match="answers with an error: Insufficient balance"):
        chat.sample([ASK])


@pytest.mark.parametrize("status", [404, 501])
def test_a_model_that_only_this_request_does_not_find_is_this_requests_fault(
    chat: Chat, endpoint: Endpoint, status: int
) -> None:
    endpoint.faults = [Fault(status, b'{"error": {"message": "nobody takes such a schema"}}')] * 3
    [refused] = chat.sample([replace(ASK, n=1)]).replies
    assert "nobody takes such a schema" in refused.refused


def test_a_model_that_one_of_two_servers_has_lost_is_no_requests_fault(
    chat: Chat, endpoint: Endpoint
) -> None:
    endpoint.replicas, endpoint.loads_on_first_alone = 2, True
    endpoint.adapters["only here"] = [-1.0]
    two = [replace(ASK, model="only here", seed=seed, n=1) for seed in range(2)]  # for the one and the other
    with pytest.raises(UnknownModelError):
        chat.sample(two)


def test_a_schema_that_is_not_supported_takes_none_from_other_requests(
    chat: Chat, endpoint: Endpoint
) -> None:
    odd, plain = ({"type": "object", "title": title} for title in ("odd", "plain"))
    endpoint.faults = [Fault(400, b'{"error": {"message": "response_format: oneOf is not supported"}}')]
    [refused] = chat.sample([replace(ASK, n=1, schema=odd)]).replies
    assert "oneOf" in refused.refused
    chat.sample([replace(ASK, n=1, schema=plain)])
    assert "response_format" in endpoint.asked[-1]

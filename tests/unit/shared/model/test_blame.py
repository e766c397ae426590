"""A request that alone is to blame costs no other request anything; one that is not is no refusal."""

from dataclasses import replace

import pytest

from shared.errors import UnknownModelError
from shared.model.client import Chat
from shared.model.wire import SampleRequest
from tests.parts.endpoint import Endpoint, Fault

ASK = SampleRequest(model="seed", messages=[{"role": "user", "content": "hi"}], seed=7, max_tokens=9)


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

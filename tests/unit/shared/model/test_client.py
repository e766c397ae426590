"""The chat client against a real HTTP server on 127.0.0.1."""

import json
import socket
import time
from dataclasses import replace
from email.utils import formatdate

import pytest

from shared.errors import ChatError, ChatUnavailableError, EndpointBlockedError, UnknownModelError
from shared.messages.records import derive_seed
from shared.model.client import Chat
from shared.model.wire import SampleRequest
from shared.store.store import LocalStore
from tests.parts.endpoint import Endpoint, Fault, completion

ASK = SampleRequest(model="seed", messages=[{"role": "user", "content": "hi"}], seed=7, max_tokens=9, n=3)


def texts(chat: Chat, *requests: SampleRequest) -> list[list[str]]:
    return [[sample.text for sample in reply.samples] for reply in chat.sample(requests).replies]


def test_each_reply_hangs_on_the_seed_and_its_index(chat: Chat) -> None:
    expected = [f"seed {derive_seed(7, index)}" for index in range(3)]
    assert texts(chat, ASK, replace(ASK, n=1)) == [expected, expected[:1]]


def test_a_reply_is_never_paid_for_twice(chat: Chat, endpoint: Endpoint, store: LocalStore) -> None:
    first = chat.sample([ASK])
    paid = len(endpoint.asked)
    endpoint.answer = lambda body: "another answer"

    again = Chat(endpoint.url, store, api_key="k", timeout_s=20, concurrency=4)
    second = again.sample([ASK])
    again.close()

    assert (paid, len(endpoint.asked)) == (3, 3)
    assert second.replies == first.replies
    assert first.cost.prompt_tokens == 9
    assert second.cost.completion_tokens == second.cost.model_s == 0


def test_what_was_waited_for_a_reply_is_kept_with_it_so_that_it_is_no_faster_when_found_again(
    chat: Chat, endpoint: Endpoint, store: LocalStore
) -> None:
    def slowly(body: object) -> str:
        time.sleep(0.05)
        return "slow"

    endpoint.answer = slowly
    endpoint.faults = [Fault(503)]
    first = chat.sample([replace(ASK, n=1)]).replies[0].samples[0]
    again = Chat(endpoint.url, store, api_key="k", timeout_s=20, concurrency=4)
    second = again.sample([replace(ASK, n=1)]).replies[0].samples[0]
    again.close()
    assert second.waited_s == first.waited_s >= 0.05


def test_a_server_that_hands_back_an_earlier_reply_tells_how_long_its_making_took(
    chat: Chat, endpoint: Endpoint
) -> None:
    kept = completion("made before") | {"waited_s": 7.5}
    endpoint.faults = [Fault(200, json.dumps(kept).encode())]
    (sample,) = chat.sample([replace(ASK, n=1)]).replies[0].samples
    assert (sample.text, sample.waited_s) == ("made before", 7.5)


def test_only_the_missing_replies_of_a_partial_set_are_asked_for(chat: Chat, endpoint: Endpoint) -> None:
    chat.sample([replace(ASK, n=2)])
    chat.sample([ASK])
    assert [body["seed"] for body in endpoint.asked][2:] == [derive_seed(7, 2)]


def test_the_same_name_with_other_weights_shares_no_replies(chat: Chat, endpoint: Endpoint) -> None:
    chat.sample([replace(ASK, weights="one")])
    chat.sample([replace(ASK, weights="other")])
    assert len(endpoint.asked) == 6


def test_equal_requests_of_two_arms_are_asked_once(chat: Chat, endpoint: Endpoint) -> None:
    sampled = chat.sample([ASK, ASK])
    assert sampled.replies[0] == sampled.replies[1]
    assert len(endpoint.asked) == 3


def test_token_ids_free_flags_and_prompt_ids_are_kept(chat: Chat) -> None:
    sample = chat.sample([ASK]).replies[0].samples[0]
    assert bytes(sample.token_ids).decode() == sample.text
    assert len(sample.free) == len(sample.logprobs) == len(sample.token_ids)
    assert sample.prompt_ids == (1, 2, 3)


def test_an_endpoint_that_knows_no_extensions_is_asked_without(chat: Chat, endpoint: Endpoint) -> None:
    endpoint.refuses = {"return_token_ids": "Unrecognized request argument supplied: return_token_ids"}
    assert texts(chat, ASK)[0][0].startswith("seed")


def test_an_endpoint_that_refuses_both_names_of_a_limit_is_not_asked_without_end(
    chat: Chat, endpoint: Endpoint
) -> None:
    unknown = {name: f"Unsupported: {name}" for name in ("max_tokens", "max_completion_tokens")}
    endpoint.refuses = {name: f"{text}. Use the other of {list(unknown)}" for name, text in unknown.items()}
    [reply] = chat.sample([replace(ASK, n=1)]).replies
    assert "Unsupported: max_completion_tokens" in reply.refused
    assert len(endpoint.asked) == 2


def test_an_address_that_leads_elsewhere_says_where(chat: Chat, endpoint: Endpoint) -> None:
    endpoint.well = False
    endpoint.faults = [Fault(302, headers={"Location": "/login?secret=1"})] * 2
    with pytest.raises(UnknownModelError, match=r"led on to http://[^?]*/login\)"):
        chat.sample([replace(ASK, n=1)])


def test_what_was_paid_before_a_failure_is_kept(chat: Chat, endpoint: Endpoint) -> None:
    one_by_one = Chat(endpoint.url, chat.store, api_key="k", timeout_s=20, concurrency=1)
    endpoint.faults = [Fault(200, json.dumps(completion("paid")).encode()), Fault(401)]
    with pytest.raises(ChatError, match="401"):
        one_by_one.sample([ASK])
    assert texts(one_by_one, ASK)[0][0] == "paid"
    assert len(endpoint.asked) == 4  # paid, refused, and the two that were missing
    one_by_one.close()


def test_busy_and_broken_answers_are_tried_again(chat: Chat, endpoint: Endpoint) -> None:
    endpoint.faults = [Fault(429, headers={"Retry-After": "0"}), Fault(500), Fault(200, b"<html>")]
    assert len(texts(chat, replace(ASK, n=1))[0]) == 1
    assert len(endpoint.asked) == 4


def test_a_long_retry_after_is_left_to_the_bus(endpoint: Endpoint, store: LocalStore) -> None:
    hasty = Chat(endpoint.url, store, api_key="k", timeout_s=5, concurrency=1)
    hour = formatdate(time.time() + 3600, usegmt=True)
    for retry_after in ("3600", hour, "3600s", "1h0m", "3600, 3600"):
        endpoint.faults = [Fault(429, headers={"Retry-After": retry_after})]
        with pytest.raises(ChatUnavailableError) as caught:
            hasty.sample([ASK])
        assert caught.value.transient
        assert caught.value.retry_after_s == pytest.approx(3600, abs=60)
    assert len(endpoint.asked) <= 5 + 4  # one each; what queued behind was called off or not begun
    hasty.close()


def test_an_endpoint_that_stays_broken_is_unavailable(chat: Chat, endpoint: Endpoint) -> None:
    endpoint.faults = [Fault(503)] * 4
    with pytest.raises(ChatUnavailableError, match="503"):
        chat.sample([replace(ASK, n=1)])
    assert len(endpoint.asked) == 4


def test_an_address_without_a_server_is_unavailable(store: LocalStore) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    lonely = Chat(url, store, api_key="k", timeout_s=5, concurrency=1)
    with pytest.raises(ChatUnavailableError, match=r"can't be reached: .*refused"):
        lonely.sample([ASK])
    lonely.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, EndpointBlockedError), (402, EndpointBlockedError), (404, UnknownModelError)],
)
def test_a_refusal_of_every_request_is_final_and_reported(
    chat: Chat, endpoint: Endpoint, status: int, error: type[ChatError]
) -> None:
    endpoint.well = False
    endpoint.faults = [Fault(status, b'{"error": {"message": "no credit"}}')] * 2
    with pytest.raises(error, match="no credit") as caught:
        chat.sample([replace(ASK, n=1)])
    assert not caught.value.transient
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("status", [400, 403, 413, 422])
def test_a_request_that_is_refused_is_data(chat: Chat, endpoint: Endpoint, status: int) -> None:
    endpoint.faults = [Fault(status, b'{"error": {"message": "context too long"}}')]
    replies = chat.sample([replace(ASK, n=1), replace(ASK, seed=8, n=1)]).replies
    assert sorted(len(reply.samples) for reply in replies) == [0, 1]
    assert "context too long" in "".join(reply.refused for reply in replies)
    endpoint.faults = [Fault(status, b'{"error": {"message": "context too long"}}')]
    [alone] = chat.sample([replace(ASK, seed=9, n=1)]).replies  # nor is a lone one an error
    assert "context too long" in alone.refused


def test_a_403_for_everything_blocks_the_run(chat: Chat, endpoint: Endpoint) -> None:
    endpoint.well = False
    endpoint.faults = [Fault(403, b'{"error": {"message": "key revoked"}}')] * 9
    with pytest.raises(EndpointBlockedError, match="key revoked"):
        chat.sample([replace(ASK, n=1)])


@pytest.mark.parametrize(
    "fault",
    [
        Fault(500, b'{"error": {"message": "unhashable prompt"}}'),
        Fault(200, b"<html><title>Sign in</title></html>"),
        Fault(200, b'{"choices": [{"error": {"message": "provider broke"}, "finish_reason": "error"}]}'),
        Fault(200, b'{"choices": [{"message": {"content": "ha"}, "finish_reason": "abort"}]}'),
        Fault(200, json.dumps(completion("ab")).encode(), breaks_off=True),
        Fault(504, b"<html><title>504 Gateway Time-out</title></html>"),
    ],
    ids=["500", "html", "error in a choice", "aborted", "closed early", "proxy's limit"],
)
def test_the_same_error_three_times_is_final_for_that_request_where_others_are_answered(
    chat: Chat, endpoint: Endpoint, fault: Fault
) -> None:
    endpoint.faults = [fault] * 3
    [refused] = chat.sample([replace(ASK, n=1)]).replies
    assert "3 times, while other requests are answered" in refused.refused
    assert (len(endpoint.asked), endpoint.controls) == (3, 1)


def test_errors_count_as_the_same_though_each_names_another_request_id(
    chat: Chat, endpoint: Endpoint
) -> None:
    endpoint.faults = [
        Fault(500, json.dumps({"error": {"message": f"the server had an error (request {n})"}}).encode())
        for n in range(9)
    ]
    [refused] = chat.sample([replace(ASK, n=1)]).replies
    assert "request 2" in refused.refused
    assert len(endpoint.asked) == 3


def test_a_refusal_within_an_answer_of_status_200_is_learned_from_too(chat: Chat, endpoint: Endpoint) -> None:
    inside = {"error": {"code": 400, "message": "Unknown parameter: 'return_token_ids'"}}
    endpoint.faults = [Fault(200, json.dumps(inside).encode())]
    assert texts(chat, replace(ASK, n=1)) == [[f"seed {derive_seed(7, 0)}"]]
    assert chat.answering.options.omit == {"return_token_ids"}


def test_nonsense_for_every_request_blocks_the_run_after_three_tries(chat: Chat, endpoint: Endpoint) -> None:
    endpoint.well = False
    endpoint.faults = [Fault(200, b"<!doctype html><title>Sign in</title>")] * 9
    with pytest.raises(EndpointBlockedError, match=r"an HTML page .'Sign in'"):
        chat.sample([replace(ASK, n=1)])
    assert len(endpoint.asked) == 3


def test_a_busy_endpoint_is_never_the_requests_fault(chat: Chat, endpoint: Endpoint) -> None:
    endpoint.faults = [Fault(429, headers={"Retry-After": "0"})] * 4
    with pytest.raises(ChatUnavailableError, match="429"):
        chat.sample([replace(ASK, n=1)])
    assert endpoint.controls == 0


def test_odd_replies_are_data(chat: Chat, endpoint: Endpoint) -> None:
    cut = completion('{"tile": ', finish_reason="length")
    silent = completion("", message={"role": "assistant", "content": None})
    surrogate = completion("x", message={"content": "\ud800 \x00"})
    nan = completion("x", logprobs={"content": [{"logprob": float("nan")}]})
    long = completion("x", message={"content": "y" * 2_000_000})
    bodies = [cut, silent, surrogate, nan, long, {"choices": []}]
    got = []
    for seed, body in enumerate(bodies):
        endpoint.faults = [Fault(200, json.dumps(body).encode())]
        got.append(chat.sample([replace(ASK, seed=seed, n=1)]).replies[0].samples[0])
    assert [(sample.text[:9], sample.finish_reason) for sample in got[:2]] == [
        ('{"tile": ', "length"),
        ("", "stop"),
    ]
    assert got[2].text == "\ufffd \x00"
    assert got[3].token_ids == got[3].logprobs == ()
    assert (len(got[4].text), got[4].finish_reason) == (1_000_000, "too_long")
    assert got[5].text == ""

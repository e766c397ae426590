"""Replies in the forms that servers give them: what was paid for is used."""

import json
from typing import Any

import pytest

from shared.model.replies.reading import Usage, parse_completion
from shared.model.replies.refusals import Refusal
from tests.parts.endpoint import completion


def read(body: object) -> tuple[str, str, str, Usage]:
    """Text, reasoning, ending and usage."""
    parsed = parse_completion(body if isinstance(body, bytes) else json.dumps(body).encode())
    assert not isinstance(parsed, Refusal), parsed
    sample, usage = parsed
    return sample.text, sample.reasoning, sample.finish_reason, usage


def message(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", **fields}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    "body",
    [
        {"code": 0, "message": "ok", "error": None, "data": completion("abc")},
        {"result": completion("abc")},
        [completion("abc")],
    ],
)
def test_a_completion_inside_of_another_value_is_used(body: object) -> None:
    assert read(body)[0] == "abc"


def test_an_error_beside_a_wrapped_completion_is_one() -> None:
    body = {"error": {"message": "broke off", "code": 500}, "data": completion("ab")}
    refusal = parse_completion(json.dumps(body).encode())
    assert isinstance(refusal, Refusal)
    assert refusal.status == 500


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_body_that_names_its_encoding_is_read(encoding: str) -> None:
    parsed = parse_completion(json.dumps(completion("罪")).encode(encoding))
    assert not isinstance(parsed, Refusal)
    assert parsed[0].text == "罪"


@pytest.mark.parametrize(
    ("body", "ending"),
    [
        (completion("ab", finish_reason="length"), "length"),
        (completion("", message={"content": None}, finish_reason="content_filter"), "content_filter"),
        (message(content=None, reasoning_content="hm"), "reasoning"),
        (
            message(content=None, reasoning_details=[{"type": "reasoning.summary", "summary": "hm"}]),
            "reasoning",
        ),
        (message(content="<think> for ever"), "reasoning"),
        (completion("xyz", message={"content": ""}, finish_reason="length"), "reasoning"),
        (completion("xyz", message={"content": " \n"}, finish_reason="length"), "length"),
        ({"choices": []}, "no_choice"),
        (completion("ab", finish_reason={"type": "length", "length": 2}), "length"),
        (completion("ab", finish_reason=None), ""),
    ],
)
def test_how_a_reply_ended_has_a_name(body: object, ending: str) -> None:
    assert read(body)[2] == ending


@pytest.mark.parametrize(
    ("usage", "read_as"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2}, Usage(3, 2)),
        ({"prompt_tokens": 3.0, "completion_tokens": "2"}, Usage(3, 2)),
        ({"prompt_tokens": 3, "completion_tokens": None}, Usage(3, None)),
        ({"prompt_tokens": None, "completion_tokens": None}, Usage()),
        ({"prompt_tokens": 0, "completion_tokens": 0}, Usage()),  # such a thing is no count
        ({"prompt_tokens": 3, "completion_tokens": 0}, Usage(3, None)),
        ({"prompt_tokens": None, "input_tokens": 3, "output_tokens": 2}, Usage(3, 2)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, Usage(3, 2)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 95}, Usage(3, 92)),  # hidden reasoning
        ({"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 95}, Usage(3, 92)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": None}, Usage(3, 2)),
        ({"total_tokens": 95}, Usage()),
        ({"prompt_tokens": 3, "completion_tokens": 2, "cost": 0.5}, Usage(3, 2, 0.5)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "cost": float("inf")}, Usage(3, 2)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "cost": True}, Usage(3, 2)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "gpu_s": 0.25}, Usage(3, 2, None, 0.25)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "gpu_s": -1}, Usage(3, 2)),
        ({"prompt_tokens": 3, "completion_tokens": 1e300}, Usage(3, None)),
        ({"prompt_tokens": -5, "completion_tokens": 2}, Usage(None, 2)),
        ({"input_tokens": 3, "output_tokens": 2}, Usage(3, 2)),
        (None, Usage()),
        ("many", Usage()),
    ],
)
def test_usage_is_what_the_endpoint_tells_or_unknown(usage: object, read_as: Usage) -> None:
    assert read(message(content="abc") | {"usage": usage})[3] == read_as


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {"content": None},
        {"content": [{"logprob": None}, {"logprob": -1}]},
        {"content": "x"},
        {"content": 5},
        {"content": True},
        {"content": [{"logprob": "-0.5"}]},
        {"content": [{"logprob": -(10**400)}]},
        {"tokens": []},
    ],
)
def test_log_probabilities_that_are_not_told_cost_no_reply(logprobs: object) -> None:
    assert read(completion("ab", logprobs=logprobs))[0] == "ab"


@pytest.mark.parametrize("ids", [[1, -1], [1, 2**31], [1, True], [1, 2.0], "ab"])
def test_what_is_no_token_id_is_not_learned_from(ids: object) -> None:
    parsed = parse_completion(json.dumps(completion("ab", token_ids=ids)).encode())
    assert not isinstance(parsed, Refusal)
    assert parsed[0].text == "ab"
    assert parsed[0].token_ids == ()


def test_usage_may_stand_in_the_choice() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    assert read({"choices": [{"message": {"content": "abc"}, "usage": usage}]})[3] == Usage(3, 2)


def test_line_ends_within_a_text_cost_no_reply() -> None:
    assert read(b'{"choices": [{"message": {"content": "a\n\tb"}}]}')[0] == "a\n\tb"


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\n \n", b": keep-alive\n\n: keep-alive\n\n"])
def test_what_precedes_an_answer_costs_no_reply(before: bytes) -> None:
    assert read(before + json.dumps(message(content="abc"), indent=1).encode())[0] == "abc"
    assert read(before + events(delta(content="abc")))[0] == "abc"


def events(*chunks: object, end: str = "data: [DONE]\n\n") -> bytes:
    return ("".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + end).encode()


def delta(finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}], "usage": None}


def test_a_stream_is_put_together() -> None:
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
    chunks = [
        delta(role="assistant"),
        delta(reasoning_content="h"),
        delta(reasoning_content="m"),
        delta(content="ab"),
        delta(content="c", finish="length"),
    ]
    assert read(b": keep-alive\n\n" + events(*chunks, usage)) == ("abc", "hm", "length", Usage(3, 2))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\u0085"])
def test_only_line_ends_end_a_line_of_a_stream(end: str, odd: str) -> None:
    content = f"before{odd}after"
    chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": content}}]}, ensure_ascii=False)
    body = f"data: {chunk}{end}{end}data: [DONE]{end}{end}".encode()
    assert read(body)[0] == content


def test_a_stream_of_plain_lines_is_put_together() -> None:
    lines = [delta(content="ab"), delta(content="c", finish="stop")]
    assert read("".join(json.dumps(line) + "\n" for line in lines).encode())[:3] == ("abc", "", "stop")


@pytest.mark.parametrize(
    "parts",
    [
        [{"text": "ab"}, {"text": "c"}],
        [{"delta": "ab"}, {"delta": "c"}],
        [{"delta": {"content": [{"type": "text", "text": "ab"}]}}, {"delta": {"content": "c"}}],
        [{"delta": {"content": "ab"}}, {"delta": {"content": [{"type": "text", "text": "c"}]}}],
    ],
)
def test_a_streams_pieces_may_have_any_form(parts: list[object]) -> None:
    assert read(events(*({"choices": [part]} for part in parts)))[0] == "abc"


@pytest.mark.parametrize("index", [0, "0", None, 1])
def test_a_stream_of_more_choices_than_were_asked_for_gives_the_first(index: object) -> None:
    parts = [(2, "no"), (index, "ab"), (2, "no"), (index, "c")]
    chunks = [{"choices": [{"index": place, "delta": {"content": text}}]} for place, text in parts]
    assert read(events(*chunks))[0] == "abc"


def test_a_stream_that_ends_with_the_whole_message_says_nothing_twice() -> None:
    whole = {"role": "assistant", "content": "abc"}
    pieces = [delta(content="ab"), delta(content="c")]
    for last in ({"index": 0, "message": whole}, {"index": 0, "delta": {}, "message": whole}):
        assert read(events(*pieces, {"choices": [last | {"finish_reason": "stop"}]}))[:3] == (
            "abc",
            "",
            "stop",
        )
    growing = [{"choices": [{"message": {"content": text}}]} for text in ("a", "ab", "abc")]
    assert read(events(*growing))[0] == "abc"
    alone = {"choices": [{"index": 0, "delta": {}, "message": whole}]}
    assert read(events(alone))[0] == "abc"


def test_the_last_piece_of_a_streams_choice_may_hold_its_usage() -> None:
    last = {"choices": [{"index": 0, "delta": {}, "usage": {"prompt_tokens": 3, "completion_tokens": 2}}]}
    assert read(events(delta(content="abc"), last))[3] == Usage(3, 2)


def test_a_word_of_success_beside_a_reply_is_no_error() -> None:
    assert (
        read(message(content="abc") | {"base_resp": {"status_code": 0, "status_msg": "success"}})[0] == "abc"
    )


def test_a_busy_provider_that_says_so_in_a_form_of_its_own_is_busy() -> None:
    said = {"id": "0" * 200, "choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}
    refusal = parse_completion(json.dumps(said).encode())
    assert isinstance(refusal, Refusal)
    assert refusal.is_busy


def test_a_call_in_the_place_of_an_answer_is_put_together_from_a_streams_pieces() -> None:
    pieces = ['{"ti', 'le": 3}']
    calls = [{"index": 0, "function": {"name": "reply", "arguments": ""}}]
    more = [{"index": 0, "function": {"arguments": piece}} for piece in pieces]
    other = {"index": 1, "function": {"arguments": "{}"}}
    chunks = [delta(content=None, tool_calls=calls), *(delta(tool_calls=[one, other]) for one in more)]
    assert read(events(*chunks))[0] == '{"tile": 3}'


def test_a_stream_that_breaks_off_gives_what_there_was() -> None:
    assert read(events(delta(content="abc"), end='data: {"choi'))[0] == "abc"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 0),
        (b"<!doctype html><title>Sign in</title>", 0),
        (b"[]", 0),
        (b'{"error": {"code": 502, "message": "provider returned error"}, "user_id": "u"}', 502),
        (b'{"error": {"code": "429", "message": "slow down"}}', 429),
        (b'{"error": {"code": "server_error", "message": "?"}}', 0),
        (b'{"choices": [{"error": {"code": 402, "message": "no credit"}, "message": {"content": ""}}]}', 402),
        (b'{"choices": [{"finish_reason": "error", "message": {"content": "half"}}]}', 0),
        (b'{"choices": [{"finish_reason": "abort", "message": {"content": "half"}}]}', 0),
        (b'{"choices": [{"finish_reason": {"type": "abort"}, "message": {"content": "half"}}]}', 0),
        (b'{"choices": [{"finish_reason": "insufficient_system_resource", "message": {}}]}', 0),
        (b'{"object": "error", "message": "too long", "code": 400}', 400),
        (b'{"choices": null, "code": 429, "msg": "slow down"}', 429),
        (b'{"choices": [], "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}', 0),
        (b'event: error\ndata: {"message": "overloaded", "code": 529}\n\n', 529),
        (events(delta(content="half"), end='error: {"code": 500, "message": "llama.cpp failed"}\n\n'), 500),
        (events(delta(content="half"), {"object": "error", "message": "died", "code": 500}), 500),
        (events(delta(content="half"), end='event: error\ndata: {"message": "died", "code": 503}\n\n'), 503),
        (b'data: {"choices": 5}\n\n', 0),
        (b'{"choices": [{"finish_reason": "timeout", "message": {"content": "half"}}]}', 0),
        (b'{"choices": [{"message": {"content": "half"}}], "error": {"code": 529, "message": "busy"}}', 529),
        (events(delta(content="half"), {"error": {"code": 502, "message": "the provider broke"}}), 502),
    ],
)
def test_what_is_no_reply_is_a_refusal_with_its_status(body: bytes, status: int) -> None:
    parsed = parse_completion(body)
    assert isinstance(parsed, Refusal)
    assert parsed.status == status
    assert parsed.message


def test_json_that_breaks_off_is_said_to_do_so() -> None:
    parsed = parse_completion(json.dumps(completion("abc")).encode()[:-2])
    assert isinstance(parsed, Refusal)
    assert parsed.message.startswith("JSON that is not whole: {")


@pytest.mark.parametrize("reported", [-1, "7", True, 1e9, None, [], float("nan")])
def test_what_is_no_time_is_no_waiting(reported: object) -> None:
    parsed = parse_completion(json.dumps(completion("x") | {"waited_s": reported}).encode())
    assert isinstance(parsed, tuple)
    assert (parsed[0].text, parsed[0].waited_s) == ("x", 0.0)

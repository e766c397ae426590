"""A refusal that names a parameter changes the options; a fault of the request itself does not."""

import json

import pytest

from shared.errors import (
    ChatError,
    ChatUnavailableError,
    EndpointBlockedError,
    ForbiddenError,
    RequestRefusedError,
    UnknownModelError,
)
from shared.messages.records import JsonObject
from shared.model.options import Options, learned
from shared.model.replies.refusals import as_error, read_refusal
from shared.model.wire import SampleRequest

SENT: JsonObject = {
    "model": "m",
    "messages": [],
    "n": 1,
    "seed": 5,
    "temperature": 0.7,
    "max_tokens": 24,
    "logprobs": True,
    "return_token_ids": True,
    "response_format": {},
}


def openai(message: str, **more: object) -> object:
    return {"error": {"message": message, "type": "invalid_request_error", **more}}


def pydantic_list(*names: str) -> list[object]:
    return [
        {"type": "extra_forbidden", "loc": ["body", n], "msg": "Extra inputs not permitted"} for n in names
    ]


@pytest.mark.parametrize(
    ("status", "body", "omit"),
    [
        (400, openai("Unsupported parameter", param="logprobs", code="unsupported_parameter"), {"logprobs"}),
        (400, openai("logprobs is not available for this model"), {"logprobs"}),
        (400, openai("Unrecognized request argument supplied: return_token_ids"), {"return_token_ids"}),
        (400, openai("'temperature' does not support 0.7", param="temperature"), {"temperature"}),
        (400, openai("response_format of this type is not available; use json_object"), {"response_format"}),
        (422, {"detail": pydantic_list("return_token_ids", "seed")}, {"return_token_ids", "seed"}),
        (422, {"message": {"detail": pydantic_list("logprobs")}}, {"logprobs"}),
        (422, {"detail": "Unknown field: `n`"}, {"n"}),
        (400, openai("Provider returned error", metadata={"raw": "unknown field `seed`"}), {"seed"}),
        (400, openai("Logprobs is not enabled for this model"), {"logprobs"}),
        (400, openai("`logprobs` requires `top_logprobs` to be set"), {"logprobs"}),
        (500, openai("logprobs not implemented"), {"logprobs"}),
        (400, openai("seed: Extra inputs are not permitted"), {"seed"}),
        (400, openai("2 errors\nn\n  Extra inputs are not permitted\nseed\n  Extra inputs"), {"n", "seed"}),
        (400, [openai('Unknown name "n": Cannot find field. Unknown name "seed": ...')], {"n", "seed"}),
        (
            422,
            {"detail": [{"loc": ["body", "logprobs"], "type": "int_type", "msg": "not a valid integer"}]},
            {"logprobs"},
        ),
        (400, openai("Unrecognized request arguments supplied: n, seed"), {"n", "seed"}),
        (400, openai("Unrecognized request argument supplied: n"), {"n"}),
        (400, openai("n > 1 is not supported"), {"n"}),
        (400, openai("extraneous key [seed] is not permitted"), {"seed"}),
        (400, openai("x does not support parameters: ['logprobs', 'n'], for model=m"), {"logprobs", "n"}),
        (400, {"message": "Validation error", "errors": [{"field": "seed", "message": "unknown"}]}, {"seed"}),
        (400, openai("invalid temperature: only 1 is allowed for this model"), {"temperature"}),
        (400, openai("`temperature` may only be set to 1 when thinking is enabled"), {"temperature"}),
        (400, openai("temperature must be 1 for this model"), {"temperature"}),
        (400, openai("models don't support 0.7. Only temperature=1 is supported"), {"temperature"}),
        (400, openai("This model does not support response format `json_schema`"), {"response_format"}),
        (400, openai("Structured outputs are not supported by this model"), {"response_format"}),
        (400, openai("guided_json is not supported"), {"response_format"}),
        (400, openai("JSON mode is not enabled for models/gemma-3-27b-it"), {"response_format"}),
        (400, openai("Provider error", metadata={"raw": {"error": "unknown field `seed`"}}), {"seed"}),
        (400, {"error": "Bad Request", "message": ["property seed should not exist: unknown"]}, {"seed"}),
        (400, {"error": None, "message": "unknown field `seed`"}, {"seed"}),
        (400, openai("'response_format' must be one of 'json_object', 'text'"), {"response_format"}),
        (422, {"error": "response_format.type: unknown variant `json_schema`"}, {"response_format"}),
        (400, openai("Unsupported", param="response_format.type"), {"response_format"}),
        (
            422,
            {"detail": [{"loc": ["body", "response_format", "type"], "type": "literal_error", "msg": "no"}]},
            {"response_format"},
        ),
        (400, openai("response_format isn't supported for this model"), {"response_format"}),
        (400, openai("This model doesn’t support temperature"), {"temperature"}),
        (400, openai("Argument not recognised: seed"), {"seed"}),
        (422, {"error": "unknown field `seed`, expected one of `model`, `n`, `temperature`"}, {"seed"}),
        (422, {"error": "unknown field `n`, expected one of `max_tokens`, `seed` at line 1"}, {"n"}),
        (400, openai("Unsupported parameter: 'seed'. Supported parameters: max_tokens, n"), {"seed"}),
        (400, openai("Unknown argument n (allowed keys are model, temperature, logprobs)"), {"n"}),
        (400, openai("Not supported parameters: n, logprobs"), {"n", "logprobs"}),
    ],
)  # fmt: skip
def test_a_parameter_that_is_not_known_is_left_out(status: int, body: object, omit: set[str]) -> None:
    after = Options().after(read_refusal(status, json.dumps(body)), SENT)
    assert after is not None
    assert after.omit == omit


@pytest.mark.parametrize(
    "body",
    [
        openai("'max_tokens' is unsupported. Use 'max_completion_tokens' instead.", param="max_tokens"),
        openai("Unknown parameter", param="max_tokens"),
        {"error": 'json: unknown field "max_tokens"'},
        {"detail": pydantic_list("max_tokens")},
    ],
)
def test_the_limit_of_tokens_gets_the_name_that_the_endpoint_knows(body: object) -> None:
    after = Options().after(read_refusal(422, json.dumps(body)), SENT)
    assert after is not None
    assert (after.max_tokens_name, after.omit) == ("max_completion_tokens", frozenset())


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
        "max_tokens is too large: 24. This model supports at most 16 completion tokens.",
        "temperature must be between 0 and 1",
        "the number of messages is unsupported",
        "Request too large",
        "content flagged by the filter",
        "temperature: 0.7 is above the highest that this model takes",
        "the schema in response_format is too deep",
        "Invalid schema for response_format 'reply': In context=(), 'oneOf' is not permitted",
        "The provided json_schema contains features that are not supported",
        "temperature must be 0 or greater",
        "temperature must be 10 or lower",
        "only a temperature between 0 and 1 is allowed here",
    ],
)
def test_a_value_out_of_range_and_a_prompt_too_long_are_the_requests_own_fault(message: str) -> None:
    assert Options().after(read_refusal(400, json.dumps(openai(message))), SENT) is None


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "context too long", RequestRefusedError),
        (400, "foo is not a valid model ID", UnknownModelError),
        (400, "Model Not Exist", UnknownModelError),
        (400, "Invalid model name passed in model=foo", UnknownModelError),
        (400, "No models loaded. Please load a model", UnknownModelError),
        (400, "The model `m` has been decommissioned", UnknownModelError),
        (400, "Unsupported model: m", UnknownModelError),
        (400, "LoRA adapter m not found", UnknownModelError),
        (404, "Loading lora m failed: No adapter found for /a", UnknownModelError),
        (400, "Too many requests", ChatUnavailableError),
        (400, "Too many concurrent requests", ChatUnavailableError),
        (403, "Concurrency limit of 5 reached", ChatUnavailableError),
        (403, "error code: 1015", ChatUnavailableError),
        (429, "You exceeded your current quota. Please retry in 0s.", ChatUnavailableError),
        (400, "Incorrect API key provided: none", EndpointBlockedError),
        (422, "Model is overloaded", ChatUnavailableError),
        (405, "Server is busy", ChatUnavailableError),
        (413, "Rate limit reached: request too large", RequestRefusedError),
        (429, "You have run out of credits", EndpointBlockedError),
        (400, "ExceededBudget: User over budget", EndpointBlockedError),
        (400, "Insufficient account balance", EndpointBlockedError),
        (403, "Project `p` does not have access to model `m`", UnknownModelError),
        (424, "Request failed during generation", ChatUnavailableError),
        (429, "Request too large for m on tokens per min: Limit 500, Requested 700", RequestRefusedError),
        (429, "You exceeded your current quota. Please retry in 32.5s.", ChatUnavailableError),
        (451, "blocked", ForbiddenError),
        (400, "API key not valid. Please pass a valid API key.", EndpointBlockedError),
        (401, "who are you", EndpointBlockedError),
        (402, "pay first", EndpointBlockedError),
        (403, "flagged", ForbiddenError),
        (403, "Invalid API key", EndpointBlockedError),
        (404, "no such model", UnknownModelError),
        (408, "", ChatUnavailableError),
        (413, "too large", RequestRefusedError),
        (422, "unprocessable", RequestRefusedError),
        (429, "slow down", ChatUnavailableError),
        (429, "You exceeded your current quota, please check your plan", EndpointBlockedError),
        (429, "余额不足或无可用资源包,请充值。", EndpointBlockedError),
        (403, "The request failed because your account has an overdue balance.", EndpointBlockedError),
        (429, "Key limit exceeded (monthly limit)", EndpointBlockedError),
        (429, "Rate limit reached. Raise it at https://host/account/billing", ChatUnavailableError),
        (400, "Your credit balance is too low", EndpointBlockedError),
        (400, "Billing hard limit has been reached", EndpointBlockedError),
        (403, "This request requires more credits", EndpointBlockedError),
        (498, "capacity exceeded", ChatUnavailableError),
        (500, "oops", ChatUnavailableError),
        (501, "not implemented", UnknownModelError),
        (529, "overloaded", ChatUnavailableError),
    ],
)
def test_what_a_status_means(status: int, message: str, kind: type[ChatError]) -> None:
    error = as_error("http://x/v1", read_refusal(status, json.dumps(openai(message))))
    assert type(error) is kind
    assert f"http://x/v1 {'refuses' if kind is RequestRefusedError else 'answers'}" in error.message


def test_a_prompt_that_a_refusal_quotes_may_be_cut_within_a_character() -> None:
    message = read_refusal(400, '{"error": {"message": "flagged: hi \\ud83d", "code": "\\ud83d"}}').message
    assert message == "flagged: hi \ufffd"


def test_a_spent_account_may_be_told_by_a_code_alone() -> None:
    body = openai("Your account is suspended, check your plan", type="exceeded_current_quota_error")
    assert type(as_error("u", read_refusal(429, json.dumps(body)))) is EndpointBlockedError


@pytest.mark.parametrize(
    ("header", "message", "seconds"),
    [
        ("5", "", 5.0),
        (None, "Please retry in 32.5s.", 32.5),
        (None, "Please try again in 6m0s", 360.0),
        (None, "Please retry after 6 seconds", 6.0),
        (None, "try again in 20ms", 0.02),
        (None, "Please try again in 7m3.5s. Need more tokens?", 423.5),
        (None, "try again in 500 milliseconds", 0.5),
        (None, "Please wait 50000 seconds before retrying.", 50_000.0),
        (None, "Retry after 1 hour and 2 minutes", 3720.0),
        (None, "try again in 2 days", 172_800.0),
        (None, "try again in 3 months", None),
        ("7", "try again in 20ms", 7.0),
        (None, "try again later", None),
        ("soon", "", None),
        ("-5", "", 0.0),
        ("inf", "", None),
        ("nan", "", None),
    ],
)
def test_the_wait_that_an_endpoint_asks_for(header: str | None, message: str, seconds: float | None) -> None:
    assert read_refusal(429, json.dumps(openai(message)), header).retry_after_s == seconds


@pytest.mark.parametrize(
    "message",
    [
        "This model only support stream mode, please enable the stream parameter to access the model.",
        "parameter.enable_thinking must be set to false for non-streaming calls",
        "Requests with max_tokens > 4096 must have stream=true",
        "Please set `stream` to true",
        "this deployment is streaming only",
        "Streaming is required for operations that may take longer than 10 minutes",
    ],
)
def test_an_endpoint_that_gives_only_streams_is_asked_for_them(message: str) -> None:
    refusal = read_refusal(400, json.dumps(openai(message)))
    after = Options().after(refusal, SENT)
    assert after is not None
    body = SampleRequest("m", [], seed=1, max_tokens=5).body(0, after)
    assert body["stream"] is True
    assert after.after(refusal, body) is None
    assert learned(Options(), after) == "gives its replies only as streams: asked for so from now on"


@pytest.mark.parametrize(
    "message",
    [
        "System role not supported",
        "the chat template refuses these messages: no",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "Developer instruction is not enabled for models/gemma",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "Only user and assistant roles are supported!",
        "This model doesn't support system messages. Try again without a system message.",
        'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter',
        "messages.0.role: Input should be 'user' or 'assistant'",
        "Expected first message to be from the user, got system",
        "System messages are not accepted by this model",
    ],
)
def test_a_system_message_that_is_refused_becomes_part_of_the_users(message: str) -> None:
    said = [{"role": "system", "content": "be short"}, {"role": "user", "content": "hi"}]
    request = SampleRequest("m", said, seed=1, max_tokens=5)
    options = Options()
    refusal = read_refusal(400, json.dumps(openai(message)))
    after = options.after(refusal, request.body(0, options))
    assert after is not None
    body = request.body(0, after)
    assert body["messages"] == [{"role": "user", "content": "be short\n\nhi"}]
    assert after.after(refusal, body) is None  # nor is it learned twice
    assert learned(options, after) == "takes no system message: its text begins the user's first from now on"


def test_a_page_that_begins_with_many_comments_is_read_at_once() -> None:
    page = "<!-- a -->" * 60
    assert (
        read_refusal(502, page + "<html><title>Bad gateway</title>").message == "an HTML page ('Bad gateway')"
    )
    assert read_refusal(502, page + "<body>").message.startswith("<!-- a -->")

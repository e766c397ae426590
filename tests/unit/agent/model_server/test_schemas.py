"""What a request may hold: whole characters."""

from typing import Any

import pytest
from pydantic import ValidationError

from agent_service.model_server.schemas import ChatRequest, CompletionRequest, LoadAdapterRequest, Wire

HALF = "\ud83d"
PLAIN = [{"role": "user", "content": "x"}]


def test_a_path_with_a_zero_byte_is_refused() -> None:
    assert LoadAdapterRequest(lora_name="a", lora_path="a b/\n项目").lora_path
    with pytest.raises(ValidationError, match="lora_path"):
        LoadAdapterRequest(lora_name="a", lora_path="a\0b")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ChatRequest, {"model": "base", "messages": [{"role": "user", "content": HALF}]}),
        (ChatRequest, {"model": "base", "messages": [{"role": HALF, "content": "x"}]}),
        (
            ChatRequest,
            {"model": "base", "messages": [{"role": "user", "content": [{"type": "text", "text": HALF}]}]},
        ),
        (ChatRequest, {"model": HALF, "messages": PLAIN}),
        (
            ChatRequest,
            {
                "model": "base",
                "messages": PLAIN,
                "response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": [HALF]}}},
            },
        ),
        (CompletionRequest, {"model": "base", "prompt": HALF}),
        (LoadAdapterRequest, {"lora_name": "a", "lora_path": HALF}),
    ],
)
def test_half_of_a_surrogate_pair_is_refused_before_a_tokenizer_sees_it(
    kind: type[Wire], body: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match="half of a surrogate pair"):
        kind.model_validate(body)

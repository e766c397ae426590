"""Which values a scaffold's step may return."""

from typing import Any

import pytest

from shared.harness.actions import ScaffoldFailed, check_action
from shared.tasks.task import AttemptSection

LIMITS = AttemptSection(candidates=2, requests=4, max_tokens=100)
MESSAGES = [{"role": "user", "content": "go"}]


def test_an_ask_is_filled_in_with_defaults() -> None:
    action = check_action({"ask": [{"messages": MESSAGES, "n": 2}]}, LIMITS, 0)

    assert action == {"ask": [{"messages": MESSAGES, "n": 2, "temperature": 1.0, "max_tokens": 100}]}


def test_a_schema_goes_through_as_it_is() -> None:
    request = {
        "messages": MESSAGES,
        "schema": {"type": "object"},
        "temperature": 0.5,
        "max_tokens": 7,
        "n": 1,
    }

    assert check_action({"ask": [request]}, LIMITS, 0) == {"ask": [request]}


def test_a_try_and_an_answer_may_name_replies_that_exist() -> None:
    candidate = {"content": "x", "samples": [0, 1]}

    assert check_action({"try": [candidate]}, LIMITS, 2) == {"try": [candidate]}
    assert check_action({"answer": candidate}, LIMITS, 2) == {"answer": candidate}


def nested(levels: int) -> dict[str, Any]:
    """A schema of objects in each other: two JSON objects a level, but for the innermost."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"x": schema}}
    return schema


def test_a_schema_as_deep_as_any_that_is_meant_is_an_action() -> None:
    asked = {"ask": [{"messages": MESSAGES, "schema": nested(31)}]}  # 63 objects in each other

    assert check_action(asked, LIMITS, 0)["ask"][0]["schema"] == nested(31)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        [],
        "answer",
        {},
        {"ask": []},
        {
            "ask": [{"messages": MESSAGES, "n": 9 * 10**4299}] * 2
        },  # its sum has more digits than Python prints
        {"ask": None},
        {"stop": True},
        {"answer": "text"},
        {"answer": {"content": 3}},
        {"answer": {"content": "x" * 300_000}},
        {"answer": {"content": "\ud800"}},
        {"answer": {"content": "x", "samples": [2]}},
        {"answer": {"content": "x", "samples": [-1]}},
        {"answer": {"content": "x", "samples": [True]}},
        {"answer": {"content": "x", "score": 9.0}},
        {"answer": {"content": "x"}, "try": [{"content": "x"}]},
        {"try": [{"content": "x"}] * 3},
        {"ask": [{"messages": []}]},
        {"ask": [{"messages": [{"role": "tool", "content": "x"}]}]},
        {"ask": [{"messages": MESSAGES, "n": 0}]},
        {"ask": [{"messages": MESSAGES, "n": 5}]},
        {"ask": [{"messages": MESSAGES, "n": 3}, {"messages": MESSAGES, "n": 3}]},
        {"ask": [{"messages": MESSAGES, "max_tokens": 101}]},
        {"ask": [{"messages": MESSAGES, "temperature": float("nan")}]},
        {"ask": [{"messages": MESSAGES, "schema": {"x": "y" * 70_000}}]},
        {"ask": [{"messages": MESSAGES, "schema": nested(33)}]},
        {"ask": [{"messages": MESSAGES, "model": "another"}]},
    ],
)
def test_everything_else_is_no_action(raw: Any) -> None:
    with pytest.raises(ScaffoldFailed):
        check_action(raw, LIMITS, 2)

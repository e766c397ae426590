"""Objects cut out of what models write around them."""

import json

import pytest

from shared.model.replies.objects import MOST_STARTS, objects_in

ANSWER = {"report": "a { in text", "edits": [{"new": {"x": 1}}]}
WRITTEN = json.dumps(ANSWER)


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        (WRITTEN, [ANSWER]),
        (
            f"<think>Maybe {{tile: 8}} or {{}}?</think>\nHere:\n```json\n{WRITTEN}\n```\nThat {{should}} do.",
            [{}, ANSWER],
        ),
        ('{"a": 1} and {"a": 2}', [{"a": 1}, {"a": 2}]),
        ('{"a": NaN} {"a": 1e999} {"a": 1}', [{"a": 1}]),
        ('{"a": 1' + "0" * 400 + "}", [{"a": 10**400}]),
        ('{"a": 1' + "0" * 5000 + "}", []),
        ('{"a": "\\ud800"}', [{"a": "\ufffd"}]),
        ('{"a": ' * 100_000, []),
        ("{" * (MOST_STARTS + 1) + WRITTEN, []),
        ("no object", []),
        (WRITTEN[:-1], [{"new": {"x": 1}}]),
    ],
    ids=[
        *("alone", "with thinking, fences and braces", "two", "numbers that are none", "a long number"),
        *("too long a number", "half a character", "endless nesting", "endless braces", "none", "cut off"),
    ],
)
def test_each_object_of_a_reply_is_found_whole(text: str, objects: list[object]) -> None:
    assert list(objects_in(text)) == objects

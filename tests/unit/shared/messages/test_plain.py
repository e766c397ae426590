"""Text of boxes and models as the store can hold it."""

from shared.messages.plain import plain
from shared.messages.records import canonical_json


def test_half_a_character_is_replaced_wherever_it_stands_and_all_else_is_kept() -> None:
    value = {"\ud800": ["a\udfffb", {"n": 10**400, "x": None}], "emoji": "\U0001f600", "zero": "\0"}

    repaired = plain(value)

    assert repaired == {
        "\ufffd": ["a\ufffdb", {"n": 10**400, "x": None}],
        "emoji": "\U0001f600",
        "zero": "\0",
    }
    assert canonical_json(repaired)


def test_two_halves_that_fit_are_one_character() -> None:
    assert plain("\ud83d" + "\ude00") == "\U0001f600"
    assert plain("\ude00" + "\ud83d") == "\ufffd\ufffd"

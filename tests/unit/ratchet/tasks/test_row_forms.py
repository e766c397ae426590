"""Alpaca's rows and chats of one question become an input and an answer."""

import json
from pathlib import Path
from typing import Any

import pytest

from ratchet.tasks.rows_file import Rows, read
from shared.errors import SettingsError


def rows_of(folder: Path, rows: list[dict[str, Any]]) -> Rows:
    file = folder / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return read(file)


def chat(number: int, *roles: str, column: str = "messages") -> dict[str, Any]:
    keys = ("role", "content") if column == "messages" else ("from", "value")
    return {column: [dict(zip(keys, (role, f"{role} {number}"), strict=True)) for role in roles]}


def test_an_instruction_and_its_input_are_one_input_where_some_have_none(tmp_path: Path) -> None:
    more: list[dict[str, Any]] = [{"input": "in French"}, {"input": ""}, {}]
    rows = [{"instruction": f"Say {i}.", "output": str(i), **more[i % 3]} for i in range(42)]
    found = rows_of(tmp_path, rows)
    assert found.pairs[:3] == [("Say 0.\n\nin French", "0"), ("Say 1.", "1"), ("Say 2.", "2")]
    assert "instruction and input" in found.notes[0]


@pytest.mark.parametrize(
    ("column", "roles", "asked"),
    [
        ("messages", ("user", "assistant"), "user 0"),
        ("messages", ("system", "user", "assistant"), "system 0\n\nuser 0"),
        ("messages", ("developer", "user", "assistant"), "developer 0\n\nuser 0"),
        ("conversations", ("human", "gpt"), "human 0"),
    ],
)
def test_a_chat_of_one_question_is_an_input_and_an_answer(
    tmp_path: Path, column: str, roles: tuple[str, ...], asked: str
) -> None:
    found = rows_of(tmp_path, [chat(i, *roles, column=column) for i in range(40)])
    assert found.pairs[0] == (asked, f"{roles[-1]} 0")
    assert len(found.pairs) == 40


@pytest.mark.parametrize(
    ("last", "what"),
    [
        (chat(1, "user", "assistant", "user", "assistant"), "row 41 holds the turns user, assistant, user, "),
        (chat(1, "user"), "row 41 holds the turns user(?!,)"),
        ({"messages": []}, "row 41 holds the turns none"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "no text under 'content'"),
        ({"messages": ["hello"]}, "no text under 'content'"),
    ],
)
def test_another_chat_is_refused_by_its_row(tmp_path: Path, last: dict[str, Any], what: str) -> None:
    rows = [chat(i, "user", "assistant") for i in range(40)]
    with pytest.raises(SettingsError, match=what):
        rows_of(tmp_path, [*rows, last])


@pytest.mark.parametrize("column", ["messages", "conversations"])
def test_a_chats_turns_may_have_the_other_forms_keys(tmp_path: Path, column: str) -> None:
    other = {"messages": "conversations", "conversations": "messages"}[column]
    rows = [{column: chat(i, "user", "assistant", column=other)[other]} for i in range(40)]
    assert rows_of(tmp_path, rows).pairs[0] == ("user 0", "assistant 0")


def test_what_stands_beside_a_chat_is_named_as_not_used(tmp_path: Path) -> None:
    rows = [chat(n, "human", "gpt", column="conversations") | {"system": f"Rule {n}"} for n in range(40)]
    assert "not used: system" in " ".join(rows_of(tmp_path, rows).notes)


def test_alpaca_s_columns_are_known_in_any_capitals(tmp_path: Path) -> None:
    rows = [{"Instruction": f"Add {i}.", "Input": "1 2", "Output": "3"} for i in range(42)]
    assert rows_of(tmp_path, rows).pairs[0] == ("Add 0.\n\n1 2", "3")

"""Two widespread forms of rows become an input and an answer: Alpaca's (an instruction, and an input that may
be empty) and chats of one question (OpenAI's `messages`, ShareGPT's `conversations`).
"""

from __future__ import annotations

from typing import Any

from shared.errors import SettingsError

Row = dict[str, Any]

CHATS = ("messages", "conversations")
KEYS = (("role", "content"), ("from", "value"))  # of a turn: who says it, and what
SETS_UP = ("system", "developer")
ASKS, ANSWERS = ("user", "human"), ("assistant", "gpt")
ONE_TURN = "a row is one question and its answer, with a system message or without"


def plain_rows(rows: list[Row], file: str) -> tuple[list[Row], tuple[str, ...]]:
    """Rows with the columns `input` and `answer`, and what was made of what; other forms stay as they are.
    Raises SettingsError that names the row."""
    for column in CHATS:
        if all(isinstance(row.get(column), list) for row in rows):
            made = [_of_chat(row, column, f"{file}, row {n}") for n, row in enumerate(rows, 1)]
            return made, (f"the question and the last reply of {column!r} are the input and the answer",)
    plain = [{name.strip().casefold(): value for name, value in row.items()} for row in rows]
    if all("instruction" in row and "output" in row for row in plain) and any(
        row.get("input") for row in plain
    ):
        note = "the input is instruction and input together"
        return [_of_alpaca(row) for row in plain], (note,)
    return rows, ()


def _of_alpaca(row: Row) -> Row:
    """What is no text stays for the reader of the columns to refuse."""
    asked, more = row["instruction"], row.get("input")
    if isinstance(asked, str) and isinstance(more, str) and more.strip():
        asked = f"{asked.strip()}\n\n{more.strip()}"
    rest = {name: value for name, value in row.items() if name not in ("instruction", "output")}
    return rest | {"input": asked, "answer": row["output"]}


def _of_chat(row: Row, column: str, where: str) -> Row:
    """Other columns stay beside it, so that the reader names what is not used: a system message, perhaps."""
    turns: list[Any] = row[column]
    named = turns[0] if turns and isinstance(turns[0], dict) else {}
    keys = next((keys for keys in KEYS if keys[0] in named), KEYS[CHATS.index(column)])
    if not all(isinstance(turn, dict) and isinstance(turn.get(keys[1]), str) for turn in turns):
        raise SettingsError(f"{where}: a turn has no text under {keys[1]!r}", ONE_TURN)
    roles = [turn.get(keys[0]) for turn in turns]
    if roles and roles[0] in SETS_UP:
        roles = roles[1:]
    if len(roles) != 2 or roles[0] not in ASKS or roles[1] not in ANSWERS:
        raise SettingsError(f"{where} holds the turns {', '.join(map(str, roles)) or 'none'}", ONE_TURN)
    *asked, answer = (turn[keys[1]].strip() for turn in turns)
    rest = {name: value for name, value in row.items() if name != column}
    return rest | {"input": "\n\n".join(asked), "answer": answer}

"""What a seed corpus prints is looked at before a model learns from it."""

from pathlib import Path

import pytest

from ratchet.tasks import new_task
from ratchet.tasks.seed_answers import answers
from shared.errors import TaskError
from shared.tasks.task import find_task

ROW = "print(json.dumps({'messages': [{'role': 'user', 'content': 'a'}], 'answer': 'b'}))\n"


@pytest.mark.parametrize(
    ("program", "message", "hint"),
    [
        ("sys.exit(3)", "exit code 3", "seed_corpus.py"),
        (ROW.replace("'b'", "'\\ud83d'"), "no line of messages and answer: .*surrogates", "a line is"),
        (ROW.replace("[{'role': 'user', 'content': 'a'}]", "[]"), "prints no answers", "not empty"),
        (
            ROW.replace("{'role': 'user', 'content': 'a'}", "'a'"),
            "no line of messages and answer",
            "a line is",
        ),
        (ROW.replace("'role'", "'rule'"), "no line of messages and answer: KeyError: 'role'", "a line is"),
        ("print('hello')\n" + ROW, "no line of messages and answer", "nothing else"),
    ],
)
def test_a_line_that_no_model_can_learn_from_is_named(
    program: str, message: str, hint: str, tmp_path: Path
) -> None:
    new_task.create(tmp_path / "mine")
    (tmp_path / "mine" / "seed_corpus.py").write_text(f"import json, sys\n{program}\n")
    with pytest.raises(TaskError, match=message) as caught:
        answers(find_task(str(tmp_path / "mine")))
    assert hint in caught.value.hint


def test_what_a_desktop_leaves_beside_the_prompts_is_no_prompt_of_the_corpus(tmp_path: Path) -> None:
    new_task.create(tmp_path / "mine")
    (tmp_path / "mine" / "harness" / "prompts" / "._user.md").write_bytes(b"\x00\x05\xff")
    assert answers(find_task(str(tmp_path / "mine")))

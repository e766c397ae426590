"""A few answers of a task's seed corpus: the form of an answer, of any score."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from shared.errors import TaskError
from shared.packaged import TOP
from shared.tasks.draws import last_line, where
from shared.tasks.task import Task

ANSWERS = 6
CORPUS_S = 120.0


def answers(task: Task, count: int = ANSWERS) -> list[str]:
    """Raises TaskError where the program fails, or prints other than lines of {"messages", "answer"}."""
    assert task.manifest.seed_corpus is not None
    name = task.manifest.seed_corpus.program
    command = [sys.executable, str(task.folder / name), str(count), "0"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=CORPUS_S, cwd=TOP, env=environment
        )
    except subprocess.TimeoutExpired:
        raise TaskError(f"{name} took longer than {CORPUS_S:g} s for {count} lines") from None
    stderr = done.stderr.decode(errors="replace")
    if done.returncode != 0:
        why = last_line(stderr) or f"exit code {done.returncode}"
        raise TaskError(f"{name} failed: {why}", where(stderr) or f"see {task.folder / name}")
    try:
        rows = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
        found = [row["answer"] for row in rows if _is_conversation(row["messages"])]
        json.dumps(rows, ensure_ascii=False).encode()  # half of a surrogate pair is no character
    except (ValueError, KeyError, TypeError) as error:
        raise TaskError(
            f"{name} prints what is no line of messages and answer: {type(error).__name__}: {error}",
            'a line is {"messages": [...], "answer": "..."}; print nothing else to stdout',
        ) from None
    if not found or not all(isinstance(answer, str) and answer for answer in found):
        raise TaskError(f"{name} prints no answers: {found[:1]!r}", "an answer is a text that is not empty")
    return found


def _is_conversation(messages: Any) -> bool:
    """As a chat template can write it."""
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(isinstance(one["role"], str) and isinstance(one["content"], str) for one in messages)
    )

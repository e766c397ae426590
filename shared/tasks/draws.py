"""Asks a task's verifier for instances, or for what is wrong with given ones, in a process of its own
(draw_program.py), and looks at what it answers before anything else uses it.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from shared.errors import TaskError
from shared.messages.records import JsonObject, PostedScore
from shared.tasks.ended import ended
from shared.tasks.task import Task

DRAW_TIMEOUT_S = 300.0
SHOWN = 3  # ids that a message lists
MOST_LINES, MOST_CHARS = 3, 500  # of an error
CALLERS = ('draw_program.py"', 'rehearsal/calls.py"', '"<frozen ')  # of the verifier: no place of its own


def draw(
    task: Task, split: str, count: int, seed: int, timeout_s: float = DRAW_TIMEOUT_S
) -> list[JsonObject]:
    """`count` instances of a split (train, gate, test), by the verifier in a process of its own.

    The public view only: what a verifier calls `draw` returns no labels. The same arguments give the same
    instances; another seed gives fresh ones. Fewer may come back where the split is exhausted. Raises
    TaskError where what comes back are no instances (instance_fault).
    """
    instances = _ask(task, "", timeout_s, "draw", split, str(count), str(seed))
    if not isinstance(instances, list) or not all(isinstance(item, dict) for item in instances):
        raise TaskError(f"{task.name}: verifier.draw({split!r}) must return a list of JSON objects")
    if fault := instances_fault(instances):
        raise TaskError(f"{task.name}: verifier.draw({split!r}): {fault}", _hint(fault))
    return instances


def check_instances(task: Task, instances: list[JsonObject]) -> None:
    """Raises TaskError naming the first instance that the verifier can't take, or that shares its id."""
    if fault := instances_fault(instances):
        raise TaskError(fault, _hint(fault))
    reasons = _ask(task, json.dumps(instances), DRAW_TIMEOUT_S, "check")
    for instance, reason in zip(instances, reasons, strict=True):
        if reason:
            raise TaskError(f"instance {instance['id']}: {reason}", f"see {task.folder / 'README.md'}")


def of_posted(task: Task, posted: PostedScore) -> JsonObject | str:
    """The train instance that the task makes of a posted score, or why it makes none. Raises TaskError for a
    broken verifier."""
    made = _ask(task, posted.model_dump_json(), DRAW_TIMEOUT_S, "posted", task.manifest.toolchain)
    if isinstance(made, str):
        return made
    if fault := instances_fault([made]):
        raise TaskError(f"{task.name}: verifier.from_feedback: {fault}", _hint(fault))
    return dict(made)


def instances_fault(instances: Sequence[JsonObject]) -> str:
    """Why these instances can't be distinguished or stored; empty where they can: an id each (text or a whole
    number), none twice, finite numbers, whole characters."""
    seen: dict[str, int] = {}
    fault = _unstorable(instances)  # all at once: they are looked at one by one only where there is a fault
    for number, instance in enumerate(instances, start=1):
        name = instance.get("id")
        if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
            return f"instance {number} has no id (text or a whole number): {name!r}"
        if fault and (its := _unstorable(instance)):
            return f"instance {name!a} {its}"
        if str(name) in seen:
            return f"instances {seen[str(name)]} and {number} share the id {name!r}"
        seen[str(name)] = number
    return ""


def _hint(fault: str) -> str:
    of_id = "has no id" in fault or "share the id" in fault
    return (
        "every instance needs its own id" if of_id else "its fields may be whatever JSON can hold, in UTF-8"
    )


def _unstorable(value: Any) -> str:
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which is no character"
    except ValueError:
        return "holds a number that is not finite"
    return ""


def _ask(task: Task, text: str, timeout_s: float, *arguments: str) -> Any:
    command = [sys.executable, "-m", "shared.tasks.draw_program", str(task.folder), *arguments]
    asked = f"{arguments[0]}({', '.join(arguments[1:])})"
    try:
        done = ended(command, text.encode(), timeout_s)
    except subprocess.TimeoutExpired:
        raise TaskError(f"{task.name}: verifier.{asked} took longer than {timeout_s:.0f} s") from None
    stderr = done.stderr.decode(errors="replace").strip()
    if done.returncode != 0 or not done.stdout:
        raise TaskError(
            f"{task.name}: verifier.{asked} failed: {last_line(stderr) or f'exit code {done.returncode}'}",
            where(stderr) or f"see {task.folder / 'verifier.py'}",
        )
    try:
        return json.loads(done.stdout)
    except ValueError:  # a verifier that has changed json itself, say
        raise TaskError(
            f"{task.name}: verifier.{asked} gave what is no JSON: {done.stdout[:80]!r}",
            f"see {task.folder / 'verifier.py'}",
        ) from None


def last_line(traceback: str) -> str:
    """What a traceback ends with: the error itself, whose text may have several lines."""
    if group := re.search(r"\| (\w*ExceptionGroup: .*)", traceback):
        return group[1].strip()[:MOST_CHARS]
    _, frame, rest = traceback.rpartition('\n  File "')
    lines = [line for line in rest.splitlines()[1:] if line.strip()] if frame else []
    said = itertools.dropwhile(lambda line: line.startswith(" "), lines)
    error = " ".join(line.strip() for line in itertools.islice(said, MOST_LINES))
    return (error or traceback.strip().rpartition("\n")[2].strip())[:MOST_CHARS]


def where(traceback: str) -> str:
    """The innermost place that a traceback names, in verifier.py if it can: `File "x.py", line 3, in f`. Of a
    missing package: how to install it."""
    if missing := re.match(r"ModuleNotFoundError: No module named '(\w+)", last_line(traceback)):
        return f"install {missing[1]}; ./install.sh installs what comes with the extras (train, bio, ...)"
    places = [line.strip() for line in traceback.splitlines() if line.strip().startswith('File "')]
    places = [place for place in places if not any(caller in place for caller in CALLERS)]
    own = [place for place in places if 'verifier.py"' in place]
    return next(reversed(own or places), "")

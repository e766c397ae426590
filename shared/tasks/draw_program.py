"""The program behind draws.draw, check_instances and of_posted. Prints JSON:

    python -m shared.tasks.draw_program TASK_DIR draw SPLIT COUNT SEED    instances
    python -m shared.tasks.draw_program TASK_DIR check < INSTANCES        a reason each, "" where all is well
    python -m shared.tasks.draw_program TASK_DIR posted KIND < POSTED     a train instance, or why none

A process of its own, because a verifier may import what it likes and holds labels. What the verifier prints
goes to stderr, and it finds nothing on stdin.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

from shared.children import die_with_parent

POSTED = "posted-"  # ids of train instances that posted scores made begin so


def load_verifier(folder: Path) -> ModuleType:
    """verifier.py of a task folder as a module. Only for programs that are processes of their own."""
    sys.path.insert(0, str(folder))  # a verifier may have files beside it
    spec = importlib.util.spec_from_file_location(f"{folder.name}_verifier", folder / "verifier.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # as an import does: dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def private_streams() -> tuple[BinaryIO, BinaryIO]:
    """(requests, replies): this process's stdin and stdout, which no code that is loaded later reads or
    writes by accident. From now on stdin is empty, and what is printed goes to stderr."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, replies


def _of_posted(verifier: ModuleType, toolchain: str, posted: dict[str, Any]) -> dict[str, Any] | str:
    """The train instance that the task makes of a posted score, under an id of its own."""
    make = getattr(verifier, "from_feedback", None)
    if make is None:
        return "its verifier has no from_feedback"
    made = make(posted)
    if not isinstance(made, dict):
        return str(made or "from_feedback gave no instance")
    fields = {name: value for name, value in made.items() if name != "id"}
    text = json.dumps(fields, sort_keys=True, allow_nan=False)
    instance = {"id": f"{POSTED}{hashlib.sha256(text.encode()).hexdigest()[:16]}", **fields}
    why = getattr(verifier, "check_instance", lambda instance: "")(instance)
    if not why and toolchain == "answer":  # a verifier that raises in a run ends it
        try:
            verifier.score(instance, posted["answer"])
        except Exception as error:
            why = f"the verifier can't score it: {type(error).__name__}: {error}"
    return str(why) or instance


def _drawn(verifier: ModuleType, split: str, count: int, seed: int) -> object:
    """What draw returns. Raises TypeError that says what it should be where JSON has nothing like it."""
    if not hasattr(verifier, "draw"):
        raise TypeError("it has no draw(split, count, seed) at its top level")
    drawn = verifier.draw(split, count, seed)
    if inspect.iscoroutine(drawn):
        drawn.close()
        raise TypeError("draw must not be async: it returns a list of JSON objects")
    if isinstance(drawn, Iterator):
        raise TypeError("draw must not be a generator: it returns a list of JSON objects")
    for number, instance in enumerate(drawn if isinstance(drawn, list | tuple) else (), start=1):
        if not isinstance(instance, dict):
            raise TypeError(f"instance {number} is of type {type(instance).__name__}, not a dict")
        for name, value in instance.items():
            _check_json(f"instance {number}: {name!r}", value)
    return drawn


def _check_json(what: str, value: object) -> None:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"{what} can't be JSON: {error}; give it as text, number, list or dict") from None


def main(arguments: list[str]) -> None:
    die_with_parent()
    requests, replies = private_streams()
    folder, operation, *rest = arguments
    verifier = load_verifier(Path(folder))
    answer: object
    if operation == "draw":
        split, count, seed = rest
        answer = _drawn(verifier, split, int(count), int(seed))
    elif operation == "posted":
        answer = _of_posted(verifier, rest[0], json.load(requests))
    else:
        check = getattr(verifier, "check_instance", lambda instance: "")  # a verifier need not have one
        answer = [check(instance) for instance in json.load(requests)]
    data = json.dumps(answer)  # whole before any of it is sent
    with replies:
        replies.write(data.encode())
    leave()


def leave() -> None:
    """Ends this process, whatever threads the verifier has left running: they would keep it for ever."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])

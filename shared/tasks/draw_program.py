"""The program behind draws.draw and draws.check_instances. Prints JSON:

    python -m shared.tasks.draw_program TASK_DIR draw SPLIT COUNT SEED    instances
    python -m shared.tasks.draw_program TASK_DIR check < INSTANCES        a reason each, "" where all is well

A process of its own, because a verifier may import what it likes and holds labels. What the verifier prints
goes to stderr, and it finds nothing on stdin.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import BinaryIO


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


def main(arguments: list[str]) -> None:
    requests, replies = private_streams()
    folder, operation, *rest = arguments
    verifier = load_verifier(Path(folder))
    answer: object
    if operation == "draw":
        split, count, seed = rest
        answer = verifier.draw(split, int(count), int(seed))
    else:
        check = getattr(verifier, "check_instance", lambda instance: "")  # a verifier need not have one
        answer = [check(instance) for instance in json.load(requests)]
    data = json.dumps(answer)  # whole before any of it is sent
    with replies:
        replies.write(data.encode())


if __name__ == "__main__":
    main(sys.argv[1:])

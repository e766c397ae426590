"""The program behind task.draw and task.check_instances. Prints instances:

    python -m shared.tasks.draw_program TASK_DIR draw SPLIT COUNT SEED
    python -m shared.tasks.draw_program TASK_DIR check < INSTANCES    a reason each, "" where all is well

A process of its own, because a verifier may import what it likes and holds labels.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType


def load_verifier(folder: Path) -> ModuleType:
    """verifier.py of a task folder as a module. Only for programs that are processes of their own."""
    sys.path.insert(0, str(folder))  # a verifier may have files beside it
    spec = importlib.util.spec_from_file_location(f"{folder.name}_verifier", folder / "verifier.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(arguments: list[str]) -> None:
    folder, operation, *rest = arguments
    verifier = load_verifier(Path(folder))
    if operation == "draw":
        split, count, seed = rest
        json.dump(verifier.draw(split, int(count), int(seed)), sys.stdout)
        return
    check = getattr(verifier, "check_instance", lambda instance: "")  # a verifier need not have one
    json.dump([check(instance) for instance in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])

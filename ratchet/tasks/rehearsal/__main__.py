"""`python -m ratchet.tasks.rehearsal TASK_DIR < {"instances", "answers"}`: calls all that a run would call of
a verifier, in a process of its own, and prints what it found as JSON lines (calls.py).
"""

from __future__ import annotations

import json
import sys

from ratchet.tasks.rehearsal import answers, kernels, programs
from ratchet.tasks.rehearsal.calls import FAILED, Calls
from shared.children import die_with_parent
from shared.messages.records import JsonObject
from shared.tasks.draw_program import leave, load_verifier, private_streams
from shared.tasks.task import Task, load_task


def main(arguments: list[str]) -> None:
    die_with_parent()
    requests, replies = private_streams()
    calls = Calls(replies)
    _call_all(load_task(arguments[0]), calls, json.load(requests))
    calls.done()
    leave()


def _call_all(task: Task, calls: Calls, asked: JsonObject) -> None:
    verifier = calls("import", "verifier.py", load_verifier, task.folder)
    bounds, toolchain = task.manifest.score, task.manifest.toolchain
    if verifier is FAILED:
        return
    check = getattr(verifier, "check_instance", None)
    if check is not None:
        for instance in asked["instances"]:
            reason = calls("check_instance", "a drawn instance", check, instance)
            if reason and reason is not FAILED:
                calls.fault("check_instance", f"check_instance refuses what draw gave: {reason}")
    if toolchain == "answer":
        if not hasattr(verifier, "score"):
            calls.fault("score", "verifier.py has no score", "def score(instance, answer) gives a number")
            return
        answers.rehearse(calls, verifier, asked["instances"], asked["answers"], bounds)
    elif toolchain == "python":
        programs.rehearse(calls, verifier, asked["instances"], bounds)
    else:
        kernels.rehearse(calls, verifier, toolchain, asked["instances"], bounds)


if __name__ == "__main__":
    main(sys.argv[1:])

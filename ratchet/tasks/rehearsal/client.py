"""Starts a rehearsal and reads what it found; a call that never returns, or that ends the process, is
reported by its name.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from shared.messages.records import JsonObject
from shared.tasks.draws import last_line
from shared.tasks.ended import ended
from shared.tasks.task import Task

REHEARSAL_S = 180.0


DONE_BYTES = 32  # the last line


@dataclass(frozen=True)
class Found:
    """`faults`: (what, where); `notes`: what could be gamed; `score_s`: the mean seconds of a scoring."""

    faults: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    score_s: float
    scorings: int


def rehearse(
    task: Task, instances: Sequence[JsonObject], answers: Sequence[str], timeout_s: float = REHEARSAL_S
) -> Found:
    """What calling everything that a run calls of its verifier shows."""
    command = [sys.executable, "-m", "ratchet.tasks.rehearsal", str(task.folder)]
    asked = json.dumps({"instances": list(instances), "answers": list(answers)}).encode()
    end = ""
    try:
        done = ended(command, asked, timeout_s)
        out = done.stdout
        if done.returncode != 0 or b'"done"' not in out[-DONE_BYTES:]:
            error = last_line(done.stderr.decode(errors="replace"))
            end = f"ended the process (exit code {done.returncode}){': ' + error if error else ''}"
    except subprocess.TimeoutExpired as late:
        out, end = late.stdout or b"", f"did not return within {timeout_s:g} s"
    return _found([json.loads(line) for line in out.splitlines() if line.endswith(b"}")], end)


def _found(lines: list[JsonObject], end: str) -> Found:
    faults = [(str(line["fault"]), str(line["where"])) for line in lines if "fault" in line]
    if end:
        calling = [str(line["calling"]) for line in lines if "calling" in line]
        faults.append((f"{calling[-1] if calling else 'verifier.py'} {end}", "verifier.py"))
    seconds = [float(line["seconds"]) for line in lines if "seconds" in line]
    notes = tuple(str(line["note"]) for line in lines if "note" in line)
    return Found(tuple(faults), notes, sum(seconds) / max(1, len(seconds)), len(seconds))

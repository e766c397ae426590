"""Calls a verifier's functions one by one and reports each call as JSON lines, which can be read even where a
call never returns or ends the process.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from shared.tasks.draws import last_line, where

PATIENCE_S = 60.0
FAILED = object()  # what a call that raised gives back


class Calls:
    """`replies` gets {"calling"} before each call, {"fault", "where"} after one that went wrong, {"note"} for
    what could be gamed, {"seconds"} a scoring, and {"done"} at the end."""

    def __init__(self, replies: BinaryIO) -> None:
        self._replies = replies
        self._faulty: set[str] = set()
        self.end_s = time.monotonic() + PATIENCE_S  # a slow verifier is not asked everything

    def __call__(self, name: str, shown: str, function: Callable[..., Any], *arguments: Any) -> Any:
        """What function(*arguments) returns; FAILED where it raises: the first time is reported for each
        name."""
        self._say({"calling": f"{name}({shown})"})
        try:
            return function(*arguments)
        except (Exception, SystemExit) as error:
            text = "".join(traceback.format_exception(error))
            self.fault(name, f"{name}({shown}) raised {last_line(text)}", where(text) or "verifier.py")
            return FAILED

    def fault(self, name: str, text: str, place: str = "") -> None:
        if name not in self._faulty:
            self._faulty.add(name)
            self._say({"fault": text, "where": place})

    def note(self, text: str) -> None:
        self._say({"note": text})

    def done(self) -> None:
        """All was called: a process that ends before this was ended by the verifier, whatever its code."""
        self._say({"done": True})

    def took(self, started_s: float) -> None:
        """One scoring, begun at that time.monotonic()."""
        self._say({"seconds": time.monotonic() - started_s})

    def _say(self, line: dict[str, Any]) -> None:
        self._replies.write(json.dumps(line).encode() + b"\n")
        self._replies.flush()

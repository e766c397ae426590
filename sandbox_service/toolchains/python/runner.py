"""Runs one Python candidate inside the box: loads its inputs, imports it, calls it, writes what it returns.

    runner.py CANDIDATE ENTRY INPUTS OUTPUTS REPORT

It shares a process with hostile code, so none of its output is trusted except READY, written before any line
of the candidate runs. The report describes the failure for a person: {"outcome", "detail"}.
"""

from __future__ import annotations

import builtins
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from sandbox_service.verify.array_files import ArrayFileError, Values, is_sparse, read_arrays, write_arrays

READY = b"ready\n"
LINES = 12  # of a traceback: the last ones name the line that failed
DETAIL_CHARS = 1500


class Failed(Exception):
    """What the candidate did wrong, as outcome and detail."""


def main(arguments: list[str]) -> None:
    candidate, entry, inputs, outputs, report = arguments
    process = os.getpid()
    with open(inputs, "rb") as file:
        given = read_arrays(file, os.path.getsize(inputs))
    os.write(1, READY)
    try:
        found = _called(_loaded(candidate, entry), entry, given)
        if os.getpid() == process:  # what the candidate forked ends here, too
            _save(found, entry, outputs)
    except BaseException as error:
        if os.getpid() == process:
            _tell(report, *_described(error, candidate))
    os._exit(0)  # no more of its threads, no exit handlers


def _loaded(path: str, entry: str) -> Callable[..., Any]:
    """The candidate's function. Its other top-level code runs now."""
    try:
        code = compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise Failed("compile_error", "".join(traceback.format_exception_only(error)).strip()) from None
    module = ModuleType("candidate")
    module.__file__ = path
    sys.modules["candidate"] = module  # dataclasses and joblib look it up there
    exec(code, module.__dict__)
    found = getattr(module, entry, None)
    if not callable(found):
        raise Failed("compile_error", f"it defines no function {entry}")
    return found  # type: ignore[no-any-return]


def _called(function: Callable[..., Any], entry: str, given: Values) -> Values:
    found = function(*(value[()] if value.shape == () else value for value in given.values()))
    if found is None:
        raise Failed("no_output", f"{entry} returned None")
    return dict(found) if isinstance(found, dict) else {"out": found}


def _save(found: Values, entry: str, path: str) -> None:
    import numpy as np

    for name, value in found.items():
        if not isinstance(name, str) or not (is_sparse(value) or isinstance(value, np.ndarray | np.generic)):
            kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix(
                f"{builtins.__name__}."
            )
            raise Failed(
                "wrong", f"{entry} returned {kind}: an array or a sparse matrix is wanted, or a dict"
            )
    try:
        with open(path, "wb") as file:
            write_arrays(file, found)
    except ArrayFileError as error:
        raise Failed("wrong", str(error)) from None
    except OSError as error:
        raise Failed("over_limit", f"its output is too large: {error.strerror}") from None


def _described(error: BaseException, candidate: str) -> tuple[str, str]:
    if isinstance(error, Failed):
        return error.args[0], error.args[1]
    if isinstance(error, SystemExit):
        return "crashed", f"it left with exit({error.code!r})"
    frames = traceback.extract_tb(error.__traceback__)
    first = next(
        (index for index, frame in enumerate(frames) if frame.filename == candidate), len(frames) - 1
    )
    lines = traceback.format_list(frames[first:]) + traceback.format_exception_only(error)
    outcome = "over_limit" if isinstance(error, MemoryError) else "crashed"
    return outcome, "\n".join("".join(lines).strip().splitlines()[-LINES:])


def _tell(path: str, outcome: str, detail: str) -> None:
    text = json.dumps({"outcome": outcome, "detail": detail[-DETAIL_CHARS:]})
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


if __name__ == "__main__":
    main(sys.argv[1:])

"""What the forks of scaffold_host.py do: load a scaffold and call it. From the first line of the scaffold on,
such a process is the scaffold's: whatever it writes into its pipe is only data to the host.

Standard library only, as in the host.
"""

import json
import os
import pickle
import random
import sys
import traceback
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any

REASON_CHARS = 300
PREPARED = "prepared"
KEPT, FAILED = b"K", b"F"  # the first byte of what `prepare` writes


@dataclass(frozen=True)
class Scaffold:
    """Compiled and not run."""

    path: str
    code: CodeType


def prepare(scaffold: Scaffold, given: dict[str, Any], write_end: int) -> None:
    """Write KEPT and the pickled additions to every context, or FAILED and the reason."""
    try:
        names = _loaded(scaffold)
        if "step" not in names:
            raise KeyError("step")
        made = {PREPARED: names["prepare"](**given)} if "prepare" in names else {}
        data = KEPT + pickle.dumps(made, pickle.HIGHEST_PROTOCOL)
    except BaseException as error:  # whatever the scaffold's top level raises, SystemExit too
        data = FAILED + reason(error).encode(errors="replace")
    write(write_end, data)


def call(scaffold: Scaffold, pickled: memoryview, request: dict[str, Any], write_end: int) -> None:
    """Call what is asked for; write a line: what it returned, or why it did not."""
    name, third, result = "step", "history", "action"
    if "answer" in request:
        name, third, result = "demonstrate", "answer", "demonstrations"
    try:
        function = _loaded(scaffold)[name]
        context = request["context"] | pickle.loads(pickled)
        _seed(context.get("seed", 0))
        data = as_json({result: function(request["instance"], request[third], request["knobs"], context)})
    except BaseException as error:
        data = as_json({"failed": f"{name} raised {reason(error)}"})
    write(write_end, data + b"\n")


def reason(error: BaseException) -> str:
    """The error and the scaffold's own line, short enough for a model to read."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "scaffold.py"
    ]
    place = f" (scaffold.py line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {error}"[:REASON_CHARS] + place


def as_json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def write(fd: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _loaded(scaffold: Scaffold) -> dict[str, Any]:
    """The scaffold's names. Random numbers are as in a step of seed 0."""
    module = sys.modules["scaffold"] = ModuleType("scaffold")  # pickle looks functions up there
    module.__file__ = scaffold.path
    _seed(0)
    exec(scaffold.code, vars(module))
    return vars(module)


def _seed(seed: int) -> None:
    """Equal requests get equal random numbers, from numpy too if the scaffold imported it."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)

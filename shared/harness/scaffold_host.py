"""The program inside the box that runs a harness's scaffold: loads it once, then forks for each step, so that
no step sees what another left in memory. It locks itself first (scaffold_lock.py): a scaffold has no clock,
writes nothing and starts nothing. JSON lines on stdin and stdout; the scaffold gets neither.

    scaffold_host.py SCAFFOLD GIVEN  writes {"up"}, then {"ready"} or {"failed"}; then one answer a request:
    {"instance", "history", "knobs", "context"}  ->  {"action": ...} or {"failed": reason}
    {"instance", "answer", "knobs", "context"}  ->  {"demonstrations": ...} or {"failed": reason}

A scaffold may have a function prepare(public, knobs): called once with what GIVEN (JSON) holds, before
any step; what it returns is every step's context["prepared"].

Started as a file, so it imports the standard library only, and files of this package that do the same.
"""

import ast
import contextlib
import ctypes
import importlib
import json
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
from shared.harness.scaffold_lock import lock, lock_step

del sys.path[0]

CAP_BYTES = 1 << 20  # of one action
REASON_CHARS = 300
PR_SET_CHILD_SUBREAPER = 36
PREPARED = "prepared"
LIBRARIES = ("/usr", "/lib", "/lib64", "/etc")
FIRST_OTHER, LAST = 3, 255  # descriptors, as the box limits them

Function = Callable[..., Any]


class NotLockedError(Exception):
    """The kernel refused to take from this process what no scaffold may have."""


def main() -> None:
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    _write(answers, {"up": True})
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans of a step become ours to reap
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    try:
        functions, prepared = _load(sys.argv[1], json.loads(sys.argv[2]))
    except NotLockedError as error:
        _write(answers, {"not locked": str(error)})
        return
    except BaseException as error:  # whatever the scaffold's top level raises, SystemExit too
        _write(answers, {"failed": f"scaffold.py does not load: {_reason(error)}"})
        return
    for fd in range(FIRST_OTHER, LAST + 1):  # a file that it opened would be shared by all steps
        if fd not in (requests.fileno(), answers.fileno()):
            with contextlib.suppress(OSError):
                os.close(fd)
    _write(answers, {"ready": True})
    for line in requests:
        request = json.loads(line)
        request["context"] |= prepared
        _answer(answers, _in_fork(functions, request, (requests.fileno(), answers.fileno())))


def _load(path: str, given: dict[str, Any]) -> tuple[dict[str, Function], dict[str, Any]]:
    """The scaffold's step and demonstrate (where it has one), and what it prepared for all calls; random
    numbers as in a step of seed 0."""
    source = Path(path).read_text(encoding="utf-8")
    code = compile(source, "scaffold.py", "exec")
    _import(source)
    try:
        lock([*LIBRARIES, sys.prefix, sys.base_prefix, *filter(None, [given["public"]])])
    except OSError as error:
        raise NotLockedError(str(error)) from None
    names: dict[str, Any] = {"__name__": "scaffold", "__file__": path}
    exec(code, names)
    _seed(0)
    prepared = {PREPARED: names["prepare"](**given)} if "prepare" in names else {}
    functions = {"step": names["step"]}
    if "demonstrate" in names:
        functions["demonstrate"] = names["demonstrate"]
    return functions, prepared


def _import(source: str) -> None:
    """Import what the scaffold does, while that may still write and start threads. What can't be imported
    fails in its own place later."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for module in modules:
            with contextlib.suppress(Exception):
                importlib.import_module(module)


def _in_fork(functions: dict[str, Function], request: dict[str, Any], private: tuple[int, int]) -> bytes:
    """The called function's answer as JSON. Everything that it started is dead when this returns."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        for fd in (read_end, *private):
            os.close(fd)
        _run(functions, request, write_end)
    os.close(write_end)
    data = _read_line(read_end)
    status = _end_all(child)
    if len(data) > CAP_BYTES:
        return _json({"failed": f"the action is longer than {CAP_BYTES} bytes"})
    if not data.endswith(b"\n"):
        return _json({"failed": f"step ended its process ({_ending(status)})"})
    return data.strip()


def _end_all(child: int) -> int:
    """Kill and reap every other process of the box, daemons too; the child's wait status."""
    status = 0
    with contextlib.suppress(ProcessLookupError, ChildProcessError):  # none is left
        while True:
            os.kill(-1, signal.SIGKILL)  # all but this process and the box's first
            pid, ending = os.waitpid(-1, 0)
            status = ending if pid == child else status
    return status


def _read_line(read_end: int) -> bytes:
    """Up to the line's end, the cap, or the end of all who could write; not of all whom the step started."""
    data = b""
    while len(data) <= CAP_BYTES and not data.endswith(b"\n"):
        more = os.read(read_end, CAP_BYTES)
        if not more:
            break
        data += more
    os.close(read_end)
    return data


def _run(functions: dict[str, Function], request: dict[str, Any], write_end: int) -> None:
    """In the child: call what is asked for, write what it returned or why it did not, and end."""
    name, third, result = "step", "history", "action"
    if "answer" in request:
        name, third, result = "demonstrate", "answer", "demonstrations"
    try:
        lock_step()
        _seed(request["context"].get("seed", 0))
        found = functions[name](request["instance"], request[third], request["knobs"], request["context"])
        data = _json({result: found})
    except BaseException as error:
        data = _json({"failed": f"{name} raised {_reason(error)}"})
    with contextlib.suppress(OSError), os.fdopen(write_end, "wb") as pipe:
        pipe.write(data + b"\n")
    os._exit(0)


def _seed(seed: int) -> None:
    """Equal requests get equal random numbers, from numpy too if the scaffold imported it."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)


def _reason(error: BaseException) -> str:
    """The error and the scaffold's own line, short enough for a model to read."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "scaffold.py"
    ]
    place = f" (scaffold.py line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {error}"[:REASON_CHARS] + place


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _json(value: Any) -> bytes:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _write(answers: Any, value: Any) -> None:
    _answer(answers, _json(value))


def _answer(answers: Any, data: bytes) -> None:
    answers.write(data + b"\n")
    answers.flush()


if __name__ == "__main__":
    main()

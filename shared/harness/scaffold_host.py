"""The program inside the box that runs a harness's scaffold. No line of the scaffold runs in this process: it
imports libraries, locks itself (scaffold_lock.py: no clock, no writes), and forks for prepare, once, and for
each step (scaffold_run.py). So nothing of a step outlives it, and no step writes into the protocol.

    scaffold_host.py SCAFFOLD GIVEN  writes {"up"}, then {"ready"} or {"failed"}; then one answer a request:
    {"instance", "history", "knobs", "context"}  ->  {"action": ...} or {"failed": reason}
    {"instance", "answer", "knobs", "context"}  ->  {"demonstrations": ...} or {"failed": reason}

JSON lines on stdin and stdout. Each fork reads its own request, and answers pass through memory that is
wiped: the freed memory of this process, which every fork inherits, holds nothing of an earlier step.

A scaffold may have a function prepare(public, knobs): called with what GIVEN (JSON) holds, before any step;
what it returns, pickled, is every step's context["prepared"].

Started as a file, so it imports the standard library only, and files of this package that do the same.
"""

import ast
import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
from shared.harness.scaffold_lock import lock, lock_step
from shared.harness.scaffold_run import KEPT, Scaffold, as_json, call, prepare, reason, write

del sys.path[0]

CAP_BYTES = 1 << 20  # of one action
PR_SET_CHILD_SUBREAPER = 36
LIBRARIES = ("/usr", "/lib", "/lib64", "/etc")
FIRST_OTHER, LAST = 3, 255  # descriptors, as the box limits them
OPENING = b"{"  # of every request: the one byte of it that this process reads


class NotLockedError(Exception):
    """The kernel refused to take from this process what no scaffold may have."""


class NotLoadedError(Exception):
    """The scaffold does not parse, or failed before any step."""


def main() -> None:
    requests, answers = os.dup(0), os.dup(1)
    write(answers, b'{"up":true}\n')
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)  # orphans of a step become ours to reap
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    given = json.loads(sys.argv[2])
    try:
        scaffold = _locked(sys.argv[1], given)
        _close_others(requests, answers)
        pickled = _prepared(scaffold, given, (requests, answers))
    except NotLockedError as error:
        _say(answers, {"not locked": str(error)})
        return
    except NotLoadedError as error:
        _say(answers, {"failed": str(error)})
        return
    _say(answers, {"ready": True})
    gc.freeze()  # else a collection in a fork copies the pages of every library
    room = bytearray(CAP_BYTES + 1)
    while os.read(requests, 1) == OPENING:
        _serve(partial(call, scaffold, pickled), (requests, answers), room)


def _say(answers: int, value: Any) -> None:
    write(answers, as_json(value) + b"\n")


def _locked(path: str, given: dict[str, Any]) -> Scaffold:
    source = Path(path).read_text(encoding="utf-8")
    try:
        code = compile(source, "scaffold.py", "exec")
        _import(source)
    except BaseException as error:
        raise NotLoadedError(f"scaffold.py does not load: {reason(error)}") from None
    try:
        lock([*LIBRARIES, sys.prefix, sys.base_prefix, *filter(None, [given["public"]])])
    except OSError as error:
        raise NotLockedError(str(error)) from None
    return Scaffold(path, code)


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


def _close_others(*kept: int) -> None:
    """What a library opened would be shared by all steps."""
    for fd in range(FIRST_OTHER, LAST + 1):
        if fd not in kept:
            with contextlib.suppress(OSError):
                os.close(fd)


def _prepared(scaffold: Scaffold, given: dict[str, Any], private: tuple[int, int]) -> memoryview:
    """The pickled additions to every context; they are unpickled in forks alone. Raises NotLoadedError."""

    def work(write_end: int) -> None:
        _shut_in(private)
        prepare(scaffold, given, write_end)

    child, read_end = _forked(work)
    with os.fdopen(read_end, "rb") as pipe:
        data = pipe.read()
    status = _end_all(child)
    if data.startswith(KEPT):
        return memoryview(data)[len(KEPT) :]
    if data:
        raise NotLoadedError(f"scaffold.py does not load: {data[1:].decode(errors='replace')}")
    raise NotLoadedError(f"the scaffold ended its process ({_ending(status)})")


def _serve(work: Callable[[dict[str, Any], int], None], private: tuple[int, int], room: bytearray) -> None:
    """One request, one line of answer."""

    def read_and_work(write_end: int) -> None:
        data = OPENING
        while not data.endswith(b"\n"):
            data += os.read(private[0], CAP_BYTES)
        _shut_in(private)
        work(json.loads(data), write_end)

    child, read_end = _forked(read_and_work)
    size = _read_line(read_end, room)
    fault = _fault(room, size, _end_all(child))
    if fault:
        _say(private[1], {"failed": fault})
    else:
        write(private[1], memoryview(room)[:size])
    room[:size] = bytes(size)


def _forked(work: Callable[[int], None]) -> tuple[int, int]:
    """A child that calls `work` with the pipe for its answer; its pid, and the end to read that from."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        with contextlib.suppress(BaseException):
            work(write_end)
        os._exit(0)
    os.close(write_end)
    return child, read_end


def _shut_in(private: tuple[int, int]) -> None:
    """In a child, before any line of the scaffold."""
    for fd in private:
        os.close(fd)
    lock_step()


def _read_line(read_end: int, room: bytearray) -> int:
    """Into `room`, up to the line's end, its own, or the end of all who could write; not of all whom the step
    started. The number of bytes; no other memory holds a copy of them."""
    size = 0
    with memoryview(room) as view:
        while size < len(room) and room[size - 1 : size] != b"\n":
            with view[size:] as rest:
                more = os.readv(read_end, [rest])
            if not more:
                break
            size += more
    os.close(read_end)
    return size


def _fault(room: bytearray, size: int, status: int) -> str:
    """Why what a step wrote is not passed on; empty where it is one line."""
    end = room.find(b"\n", 0, size)
    if size > CAP_BYTES:
        return f"the action is longer than {CAP_BYTES} bytes"
    if end < 0:
        return f"step ended its process ({_ending(status)})"
    return "" if end == size - 1 else "step wrote more than one answer"


def _end_all(child: int) -> int:
    """Kill and reap every other process of the box, daemons too; the child's wait status."""
    status = 0
    with contextlib.suppress(ProcessLookupError, ChildProcessError):  # none is left
        while True:
            os.kill(-1, signal.SIGKILL)  # all but this process and the box's first
            pid, ending = os.waitpid(-1, 0)
            status = ending if pid == child else status
    return status


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


if __name__ == "__main__":
    main()

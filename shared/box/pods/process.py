"""A program in a pod, seen from the service: one connection to its runner, and what arrived over it.

The pod lives as long as the connection: when it is closed or this process dies, the runner ends the pod.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO

from shared.box.box import STDERR_TAIL_BYTES, Bind, BoxedProcess, BoxOutcome, BoxResult, outcome_of
from shared.box.pods.inside import wire
from shared.box.pods.spec import End
from shared.errors import BoxError
from shared.messages.records import JsonObject

CONNECT_TIMEOUT_S = 5.0
RETRY_S = 0.05
SLACK_BYTES = 1 << 20  # of headers in what comes back
# How the pod ended, asked once the connection is gone; raises BoxError if the cluster removed it.
Settle = Callable[[], End]


def connect(
    address: tuple[str, int], order: JsonObject, binds: Sequence[Bind], deadline: float
) -> socket.socket:
    """A connection whose runner has its order and its files. Raises BoxError at the deadline."""
    while True:
        try:
            connection = socket.create_connection(address, CONNECT_TIMEOUT_S)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                hint = "do the network policies of the sandbox's namespace let this service in?"
                raise BoxError(f"a box's runner can't be reached: {error}", hint) from error
            time.sleep(RETRY_S)
    connection.settimeout(None)
    try:
        wire.send(connection, wire.HELLO, json.dumps(order).encode())
        for index, bind in enumerate(binds):
            wire.send(connection, wire.FILES, wire.pack(str(bind.source), str(index)))
    except OSError as error:
        connection.close()
        raise BoxError(f"the connection to a box's runner was lost: {error}") from error
    return connection


def run_to_the_end(
    connection: socket.socket,
    binds: Sequence[Bind],
    stdin: bytes,
    wall_s: float,
    most_bytes: int,
    settle: Settle,
) -> BoxResult:
    """Everything that the program wrote, and how it ended. `wall_s` is reported where the pod ended first."""
    out, err = bytearray(), bytearray()
    feeder = threading.Thread(target=_feed, args=(connection, stdin), daemon=True)
    feeder.start()
    report: JsonObject | None = None
    with contextlib.suppress(OSError):
        while report is None and (frame := wire.receive(connection)) is not None:
            kind, payload = frame
            if kind == wire.FAULT:
                raise BoxError(f"the box did not start: {payload.decode(errors='replace')}")
            out += payload if kind == wire.STDOUT else b""
            err += payload if kind == wire.STDERR else b""
            report = json.loads(payload) if kind == wire.ENDED else None
    if report is None or not _take_files(connection, binds, most_bytes):
        return _cut_off(settle(), bytes(out), bytes(err), wall_s)
    code = report["code"]
    starved = report["starved"] and code != 0
    outcome: BoxOutcome = "over_limit" if starved else report["outcome"]
    if outcome == "ok" and code is not None:
        outcome = outcome_of(code)
    return BoxResult(code, bytes(out), bytes(err), report["wall_s"], outcome)


def _feed(connection: socket.socket, stdin: bytes) -> None:
    with contextlib.suppress(OSError):
        for start in range(0, len(stdin), wire.CHUNK_BYTES):
            wire.send(connection, wire.STDIN, stdin[start : start + wire.CHUNK_BYTES])
        wire.send(connection, wire.STDIN_END)


def _take_files(connection: socket.socket, binds: Sequence[Bind], most_bytes: int) -> bool:
    """What the program left in its writable binds, over what lay there. False if not all of it arrived."""
    waiting = [bind for bind in binds if bind.writable]
    while (frame := wire.receive(connection, most_bytes + SLACK_BYTES)) is not None:
        kind, payload = frame
        if kind != wire.FILES:
            continue
        if not waiting:
            return True
        wire.unpack(payload, str(waiting.pop(0).source))
    return False


def _cut_off(end: End, out: bytes, err: bytes, wall_s: float) -> BoxResult:
    if end == "out of memory":
        return BoxResult(None, out, err, wall_s, "over_limit")
    return BoxResult(None, out, err, wall_s, "timeout")


class PodProcess(BoxedProcess):
    """A program in a pod that stays. Its pipes are of this process; two threads pass on what goes through
    them."""

    def __init__(self, connection: socket.socket, settle: Settle, remove: Callable[[], None]) -> None:
        self.pid = None
        self._connection, self._settle, self._remove = connection, settle, remove
        stdin_end, stdin = os.pipe()
        stdout, stdout_end = os.pipe()
        self.stdin: IO[bytes] = os.fdopen(stdin, "wb", buffering=0)
        self.stdout: IO[bytes] = os.fdopen(stdout, "rb", buffering=0)
        self._stderr = bytearray()
        self._report: JsonObject | None = None
        self._fault = ""
        self._ended = threading.Event()
        for work, handle in ((self._pass_in, stdin_end), (self._pass_out, stdout_end)):
            threading.Thread(target=work, args=(handle,), daemon=True).start()

    def alive(self) -> bool:
        return not self._ended.is_set()

    def wait(self, timeout_s: float | None = None) -> int | None:
        if not self._ended.wait(timeout_s):
            return None
        if self._fault:
            raise BoxError(f"the box did not start: {self._fault}")
        if self._report is not None:
            return int(self._report["code"])
        if self._settle() == "out of memory":
            return 128 + 9
        raise BoxError("a warm box's pod has reached the end of its life", "it is made again on next use")

    def kill(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._ended.wait()
        self._remove()
        for pipe in (self.stdin, self.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def close(self) -> None:
        self.kill()
        self._connection.close()

    def stderr_tail(self) -> str:
        return bytes(self._stderr).decode(errors="replace")

    def _pass_in(self, handle: int) -> None:
        with os.fdopen(handle, "rb", buffering=0) as pipe, contextlib.suppress(OSError):
            while data := pipe.read(wire.CHUNK_BYTES):
                wire.send(self._connection, wire.STDIN, data)
            wire.send(self._connection, wire.STDIN_END)

    def _pass_out(self, handle: int) -> None:
        with os.fdopen(handle, "wb", buffering=0) as pipe, contextlib.suppress(OSError):
            while self._report is None and (frame := wire.receive(self._connection)) is not None:
                kind, payload = frame
                if kind == wire.STDOUT:
                    _write_all(pipe, payload)
                elif kind == wire.STDERR:
                    self._stderr = (self._stderr + payload)[-STDERR_TAIL_BYTES:]
                elif kind == wire.ENDED:
                    self._report = json.loads(payload)
                elif kind == wire.FAULT:
                    self._fault = payload.decode(errors="replace")
        self._ended.set()

    def __enter__(self) -> PodProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _write_all(pipe: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[pipe.write(view) :]

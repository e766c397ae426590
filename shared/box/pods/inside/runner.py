"""The program that a box's pod starts: it takes one connection from the service that made the pod, unpacks
what the boxed program is given, runs it under its limits, passes its streams on, hands back what it wrote,
and ends. Where the order is for timing, kernels.py does the middle part.

    runner.py PORT TOKEN_SHA256 PATIENCE_S

It shares a pod with hostile code of the same uid, so it can't be traced or read (not dumpable), closes its
port at the first connection, and refuses a connection without the token. Started as a file, so it
imports the standard library only, and files of this package that do the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import hmac
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

if "shared" not in sys.modules:  # as a package, and not searched: it holds names of the standard library
    sys.modules["shared"] = ModuleType("shared")
    sys.modules["shared"].__path__ = [str(Path(__file__).parents[3])]

from shared.box.pods.inside import kernels, wire
from shared.box.pods.inside.program import Program, end_all

HELLO_TIMEOUT_S = 20.0
END_TIMEOUT_S = 20.0  # for the service to read the last of what was sent
PR_SET_DUMPABLE = 4
GIVEN_FD = "LISTEN_FDS"  # a listener that was handed over, as systemd and the in-memory cluster do


def main() -> None:
    if os.getuid() == 0 or os.getpid() != 1:  # at its end it kills whatever it can
        sys.exit("only as the first process of a pod, and never as root")
    port, digest, patience_s = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)
    connection = _accept(port, patience_s)
    if connection is None:
        sys.exit("no connection before the time-out")
    connection.settimeout(HELLO_TIMEOUT_S)
    hello = wire.receive(connection)
    order = json.loads(hello[1]) if hello and hello[0] == wire.HELLO else {"token": ""}
    if not hmac.compare_digest(hashlib.sha256(order["token"].encode()).hexdigest(), digest):
        sys.exit("a connection with a wrong token")
    connection.settimeout(None)
    with contextlib.suppress(ConnectionError):
        _serve(connection, order)
        _await_end(connection)
    end_all()


def _accept(port: int, patience_s: float) -> socket.socket | None:
    """The one connection that is taken."""
    if os.environ.get(GIVEN_FD):
        listener = socket.socket(fileno=int(os.environ[GIVEN_FD]))
    else:
        listener = socket.create_server(("", port), backlog=1)
    with listener:
        listener.settimeout(patience_s)
        with contextlib.suppress(TimeoutError):
            connection = listener.accept()[0]
            listener.shutdown(socket.SHUT_RDWR)  # in every process that holds it
            return connection
    return None


def _serve(connection: socket.socket, order: dict[str, Any]) -> None:
    try:
        _unpack(connection, order)
        if not os.path.isdir(order["cwd"]):
            raise OSError(f"no folder {order['cwd']} to start in")
        if order.get("timing"):
            kernels.serve(connection, order["timing"])
            return
        program = Program(connection, order)
    except (OSError, subprocess.SubprocessError) as error:
        wire.send(connection, wire.FAULT, str(error).encode())
        return
    report = program.to_the_end()
    if report is None:  # the connection to the service ended
        return
    wire.send(connection, wire.ENDED, json.dumps(report).encode())
    for index, (target, writable) in enumerate(order["binds"]):
        if writable:
            wire.send(connection, wire.FILES, wire.pack(target, str(index)))
    wire.send(connection, wire.FILES)


def _await_end(connection: socket.socket) -> None:
    """Until the service has closed the connection: closed here with unread input in it, such as stdin that
    the program did not want, it would be reset, and what the service has not read yet would be lost."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(END_TIMEOUT_S)
        while connection.recv(wire.CHUNK_BYTES):
            pass


def _unpack(connection: socket.socket, order: dict[str, Any]) -> None:
    """The binds, in the order's order: copies at their targets, without write bits where they are
    read-only."""
    for target, writable in order["binds"]:
        frame = wire.receive(connection)
        if frame is None or frame[0] != wire.FILES:
            raise OSError("the connection ended before all files were there")
        wire.unpack(frame[1], target)
        if not writable:
            for path, names, files in os.walk(target, topdown=False):
                for name in files + names:
                    _without_write_bits(os.path.join(path, name))
            if os.path.isfile(target):
                _without_write_bits(target)


def _without_write_bits(path: str) -> None:
    os.chmod(path, os.stat(path).st_mode & 0o555)


if __name__ == "__main__":
    main()

"""The protocol between a service and the runner in a box's pod: frames over one connection, files as tar.
Both sides use it; in the pod it is loaded by its path, so it imports the standard library only.

A frame: kind (1 byte), length (4 bytes), payload.
"""

from __future__ import annotations

import io
import os
import socket
import struct
import tarfile
from collections.abc import Iterator

HELLO, FILES, STDIN, STDIN_END = b"H", b"F", b"I", b"E"  # from the service
LOAD, CALL = b"L", b"C"  # too, where the pod is for timing; each is answered by DONE
UP, STDOUT, STDERR, ENDED, FAULT = b"U", b"O", b"R", b"X", b"N"  # from the pod; FILES too, after ENDED
DONE = b"D"
HEAD = struct.Struct(">cI")
CHUNK_BYTES = 1 << 16
MOST_BYTES = 1 << 31


def send(connection: socket.socket, kind: bytes, payload: bytes = b"") -> None:
    connection.sendall(HEAD.pack(kind, len(payload)) + payload)


def receive(connection: socket.socket, most_bytes: int = MOST_BYTES) -> tuple[bytes, bytes] | None:
    """One frame; None at the end of the connection, wherever it comes, and for a frame that is too long."""
    head = _exactly(connection, HEAD.size)
    if head is None:
        return None
    kind, length = HEAD.unpack(head)
    payload = _exactly(connection, length) if length <= most_bytes else None
    return None if payload is None else (kind, payload)


def _exactly(connection: socket.socket, size: int) -> bytes | None:
    data = bytearray()
    while len(data) < size:
        try:
            more = connection.recv(min(size - len(data), 1 << 20))
        except ConnectionResetError:
            return None
        if not more:
            return None
        data += more
    return bytes(data)


def pack(path: str, name: str) -> bytes:
    """A file or folder as tar. Plain files and folders only: links and pipes stay behind."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for found, inside in _plain(path, name):
            archive.add(found, inside, recursive=False)
    return data.getvalue()


def _plain(path: str, name: str) -> Iterator[tuple[str, str]]:
    if os.path.isfile(path) and not os.path.islink(path):
        yield path, name
    elif os.path.isdir(path) and not os.path.islink(path):
        yield path, name
        for entry in sorted(os.listdir(path)):
            yield from _plain(os.path.join(path, entry), f"{name}/{entry}")


def unpack(data: bytes, target: str) -> None:
    """What pack() made, at `target`. Anything else in it (a link, a way out) is left out."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            parts = member.name.split("/")[1:]
            if ".." in parts or not (member.isreg() or member.isdir()):
                continue
            path = os.path.join(target, *parts)
            if member.isdir():
                os.makedirs(path, exist_ok=True)
                continue
            os.makedirs(os.path.dirname(path), exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
            source = archive.extractfile(member)
            with os.fdopen(os.open(path, flags, 0o644), "wb") as file:
                file.write(source.read() if source else b"")
            os.chmod(path, (member.mode & 0o555) | 0o644)

"""A TCP proxy on 127.0.0.1 in front of a test server, with a network's faults. Each is data: a test sets it,
and what connects from then on meets it."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PIECE = 4096


@dataclass(frozen=True)
class Fault:
    """What happens to one connection."""

    silent: bool = False  # accepted, and never answered
    bytes_s: float = 0.0  # how fast answers go through; 0: at once
    cut_after: int = -1  # bytes of answers, then the connection is closed
    flip_at: int = -1  # which byte of the answers arrives with a wrong bit


class Proxy:
    """Context manager. `faults` are used up one a connection, then `rest` holds. It speaks TLS with a
    certificate."""

    def __init__(self, target_port: int, certificate: ssl.SSLContext | None = None) -> None:
        self.target_port = target_port
        self.certificate = certificate
        self.faults: list[Fault] = []
        self.rest = Fault()
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._closed = threading.Event()

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for sock in [self._listener, *self._open]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            fault = self.faults.pop(0) if self.faults else self.rest
            self._open.append(client)
            if not fault.silent:
                threading.Thread(target=self._serve, args=(client, fault), daemon=True).start()

    def _serve(self, client: socket.socket, fault: Fault) -> None:
        try:
            if self.certificate:
                client = self.certificate.wrap_socket(client, server_side=True)
            server = socket.create_connection(("127.0.0.1", self.target_port))
        except OSError:
            client.close()
            return
        self._open += [client, server]
        threading.Thread(target=_copy, args=(client, server, Fault()), daemon=True).start()
        _copy(server, client, fault)


def _copy(source: socket.socket, sink: socket.socket, fault: Fault) -> None:
    sent = 0
    with suppress(OSError):
        while data := source.recv(PIECE):
            if 0 <= fault.flip_at - sent < len(data):
                at = fault.flip_at - sent
                data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
            if fault.cut_after >= 0:
                data = data[: fault.cut_after - sent]
            sink.sendall(data)
            sent += len(data)
            if 0 <= fault.cut_after <= sent:
                break
            if fault.bytes_s:
                time.sleep(len(data) / fault.bytes_s)
    for sock in (source, sink):
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def make_certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that is its own authority, and a server's context that shows it."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    out = ["-nodes", "-days", "2", "-keyout", str(key), "-out", str(certificate)]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        *names,
        *out,
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context

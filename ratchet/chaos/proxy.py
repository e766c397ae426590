"""A TCP proxy on 127.0.0.1 between workers and one of their servers, whose faults are set while it runs:
every connection cut, nothing passed on for a while, no new connection taken, the answer to a COMMIT lost.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

PIECE = 65_536
COMMIT = b"COMMIT\0"  # as PostgreSQL's clients send it: the end of a simple query


class Proxy:
    """Context manager. `cuts`: connections that were cut; `lost_commits`: COMMITs that the server answered,
    and whose answer was thrown away."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.cuts = 0
        self.lost_commits = 0
        self._lose = 0
        self._losing: set[socket.socket] = set()
        self._refusing = False
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._open: set[tuple[socket.socket, socket.socket]] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._flowing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> int:
        """Close every connection; how many there were."""
        with self._lock:
            pairs = list(self._open)
        for pair in pairs:
            self._close(pair)
        self.cuts += len(pairs)
        return len(pairs)

    def refuse(self, refusing: bool) -> None:
        """Take no new connection, as from a server that is away; the open ones are cut."""
        self._refusing = refusing
        if refusing:
            self.cut()

    def hold(self, held: bool) -> None:
        """Pass nothing on, and close nothing: a network that swallows packets."""
        self._flowing.clear() if held else self._flowing.set()

    def lose_commits(self, count: int) -> None:
        """Of the next COMMITs that pass, lose the answer and the connection."""
        with self._lock:
            self._lose = count

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target_port))
            except ConnectionRefusedError:
                client.close()
                continue
            except OSError:
                return
            pair = (client, server)
            for one in pair:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._refusing:
                client.close()
                server.close()
                continue
            with self._lock:
                self._open.add(pair)
            threading.Thread(target=self._ask, args=(pair,), daemon=True).start()
            threading.Thread(target=self._answer, args=(pair,), daemon=True).start()

    def _ask(self, pair: tuple[socket.socket, socket.socket]) -> None:
        client, server = pair
        with suppress(OSError):
            while data := client.recv(PIECE):
                self._flowing.wait()
                if data.endswith(COMMIT) and self._takes_one():
                    self._losing.add(server)
                server.sendall(data)
        self._close(pair)

    def _takes_one(self) -> bool:
        with self._lock:
            took = self._lose > 0
            self._lose -= took
            return took

    def _answer(self, pair: tuple[socket.socket, socket.socket]) -> None:
        client, server = pair
        with suppress(OSError):
            while data := server.recv(PIECE):
                self._flowing.wait()
                if server in self._losing:  # it has committed, or it would not answer
                    self.lost_commits += 1
                    break
                client.sendall(data)
        self._close(pair)

    def _close(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._lock:
            self._open.discard(pair)
            self._losing.discard(pair[1])
        for one in pair:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

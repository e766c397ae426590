"""The proxy's faults: cut, silent, refusing, and a COMMIT that is done and whose answer never comes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ratchet.chaos.proxy import Proxy

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"  # as PostgreSQL's clients send it


class Upper:
    """A server that answers in capitals, and remembers what came."""

    def __init__(self) -> None:
        self.came: list[bytes] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client: socket.socket) -> None:
        with client, suppress(OSError):  # cut
            while data := client.recv(1000):
                self.came.append(data)
                client.sendall(data.upper())


@pytest.fixture
def server() -> Iterator[Upper]:
    made = Upper()
    yield made
    made.listener.close()


@pytest.fixture
def proxy(server: Upper) -> Iterator[Proxy]:
    with Proxy(server.port) as made:
        yield made


def connect(proxy: Proxy) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", proxy.port))
    client.settimeout(5)
    return client


def ask(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return client.recv(1000)


def test_it_passes_on_both_ways(proxy: Proxy) -> None:
    with connect(proxy) as client:
        assert ask(client, b"hello") == b"HELLO"


def test_a_cut_ends_what_is_open_and_nothing_that_comes(proxy: Proxy) -> None:
    with connect(proxy) as client, connect(proxy) as other:
        ask(client, b"a"), ask(other, b"b")
        assert proxy.cut() == 2
        assert (client.recv(1), other.recv(1)) == (b"", b"")
    with connect(proxy) as client:
        assert ask(client, b"again") == b"AGAIN"


def test_silence_passes_nothing_on_and_loses_nothing(proxy: Proxy) -> None:
    with connect(proxy) as client:
        ask(client, b"a")
        proxy.hold(True)
        client.sendall(b"late")
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1000)
        proxy.hold(False)
        client.settimeout(5)
        assert client.recv(1000) == b"LATE"


def test_refusing_cuts_and_takes_no_more(proxy: Proxy) -> None:
    with connect(proxy) as client:
        ask(client, b"a")
        proxy.refuse(True)
        assert client.recv(1) == b""
    with connect(proxy) as client:
        assert client.recv(1) == b""
    proxy.refuse(False)
    with connect(proxy) as client:
        assert ask(client, b"back") == b"BACK"


def test_a_lost_commit_reaches_the_server_and_its_answer_is_thrown_away(proxy: Proxy, server: Upper) -> None:
    proxy.lose_commits(1)
    with connect(proxy) as client:
        assert ask(client, b"select") == b"SELECT"  # other statements are answered
        assert ask(client, COMMIT) == b""
    assert server.came == [b"select", COMMIT]
    assert proxy.lost_commits == 1
    with connect(proxy) as client:
        assert ask(client, COMMIT) == COMMIT.upper()

